"""AWS's own watch over the bill, beside the lab's: it lags by a day, and it sees what the ledger cannot."""

from __future__ import annotations

from aws_cdk import aws_budgets
from constructs import Construct

from cdk.settings import Settings

LEVELS = (70, 85, 95)  # percent, as the lab's own


def add_budget(scope: Construct, settings: Settings) -> None:
    """Mails its levels to the person, for the whole account: cost by tag needs a person who activates the tag."""
    to = [aws_budgets.CfnBudget.SubscriberProperty(address=settings.email, subscription_type="EMAIL")]
    budget = aws_budgets.CfnBudget
    budget(scope, "Budget", budget=budget.BudgetDataProperty(
        budget_name=f"{settings.prefix}-monthly", budget_type="COST", time_unit="MONTHLY",
        budget_limit=budget.SpendProperty(amount=settings.monthly_budget_usd, unit="USD")),
        notifications_with_subscribers=[budget.NotificationWithSubscribersProperty(
            subscribers=to, notification=budget.NotificationProperty(
                comparison_operator="GREATER_THAN", notification_type=kind, threshold=level,
                threshold_type="PERCENTAGE"))
            for kind, level in (*(("ACTUAL", level) for level in LEVELS), ("FORECASTED", 100))])
