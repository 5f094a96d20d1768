"""What AWS asks in us-east-1, in US dollars, as its public price pages said it. Instances by the hour are on demand.

Written down on `AS_OF` from what was known of those pages then, not fetched: look at AWS's own pages again before a
decision hangs on a cent. `FREE` is what every account has each month for good, not only in its first year.
"""

from __future__ import annotations

AS_OF = "2025-06"
REGION = "us-east-1"

USD = {
    "t4g.micro hour": 0.0084,
    "public IPv4 address hour": 0.005,
    "gp3 GB-month": 0.08,
    "DynamoDB million reads": 0.125,  # of 4 KB, consistent; half of one where it need not be
    "DynamoDB million writes": 0.625,  # of 1 KB; a transaction counts each twice, and its reads too
    "DynamoDB GB-month": 0.25,
    "DynamoDB backup GB-month": 0.20,  # point-in-time recovery
    "S3 GB-month": 0.023,
    "S3 thousand writes": 0.005,  # PUT, COPY, POST, LIST
    "S3 thousand reads": 0.0004,
    "SQS million requests": 0.40,
    "SNS thousand mails": 0.02,
    "SNS million publishes": 0.50,
    "CloudWatch metric": 0.30,
    "CloudWatch alarm": 0.10,  # for each metric that it looks at
    "CloudWatch dashboard": 3.00,
    "CloudWatch logs GB": 0.50,
    "Lambda million requests": 0.20,
    "Lambda Arm GB-second": 0.0000133334,
    "Scheduler million calls": 1.00,
    "Cost Explorer request": 0.01,
    "CloudFront ten thousand requests": 0.01,
}

FREE = {
    "SQS million requests": 1.0,
    "SNS thousand mails": 1.0,
    "SNS million publishes": 1.0,
    "CloudWatch metric": 10.0,
    "CloudWatch alarm": 10.0,
    "CloudWatch dashboard": 3.0,
    "CloudWatch logs GB": 5.0,
    "DynamoDB GB-month": 25.0,
    "Lambda million requests": 1.0,
    "Lambda Arm GB-second": 400_000.0,
    "Scheduler million calls": 14.0,
    "CloudFront ten thousand requests": 1000.0,
}
