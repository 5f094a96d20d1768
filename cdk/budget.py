"""AWS's own watch over the bill, beside the lab's: it lags by a day, and it sees what the ledger cannot."""

from __future__ import annotations

from aws_cdk import Aws, aws_budgets, aws_iam, aws_sns
from constructs import Construct

from cdk.settings import Settings
from lab.canonical import fingerprint

LEVELS = (70, 85, 95)  # percent, as the lab's own
NOTICES = (*(("ACTUAL", level) for level in LEVELS), ("FORECASTED", 100))


def add_budget(scope: Construct, settings: Settings) -> aws_sns.Topic:
    """Tells its levels to the person by mail, and to a topic, which the guard hears. It is of the whole account: cost
    by tag needs a person who activates the tag."""
    topic = aws_sns.Topic(scope, "Bill", topic_name=f"{settings.prefix}-bill", enforce_ssl=True)
    let_publish(topic, "budgets")
    budget = aws_budgets.CfnBudget
    to = [budget.SubscriberProperty(address=settings.email, subscription_type="EMAIL"),
          budget.SubscriberProperty(address=topic.topic_arn, subscription_type="SNS")]
    made = budget(scope, "Budget", budget=budget.BudgetDataProperty(
        budget_name=name_of(settings), budget_type="COST", time_unit="MONTHLY",
        budget_limit=budget.SpendProperty(amount=settings.monthly_budget_usd, unit="USD")),
        notifications_with_subscribers=[budget.NotificationWithSubscribersProperty(
            subscribers=to, notification=budget.NotificationProperty(
                comparison_operator="GREATER_THAN", notification_type=kind, threshold=level,
                threshold_type="PERCENTAGE"))
            for kind, level in NOTICES])
    made.node.add_dependency(topic.node.find_child("Policy"))  # a budget is refused where it may not publish
    return topic


def name_of(settings: Settings) -> str:
    """Whom a budget tells, and when, cannot be changed: CloudFormation makes another one before this one goes, and no
    two may have one name. So the name follows from both; a change of the amount alone changes the budget itself."""
    return f"{settings.prefix}-monthly-{fingerprint((settings.email, NOTICES))[:6]}"


def let_publish(topic: aws_sns.Topic, service: str) -> None:
    """A service of this account alone. With a policy of its own a topic no longer lets in all of its account."""
    topic.add_to_resource_policy(aws_iam.PolicyStatement(
        actions=["sns:Publish"], resources=[topic.topic_arn],
        principals=[aws_iam.ServicePrincipal(f"{service}.amazonaws.com")],
        conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}))
