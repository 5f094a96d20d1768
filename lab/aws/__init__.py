"""The laboratory on an AWS account. boto3 is imported in this room alone."""
