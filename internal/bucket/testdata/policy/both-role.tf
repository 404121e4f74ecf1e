resource "aws_iam_role" "millrace_both" {
  name               = "millrace-both"
  assume_role_policy = <<-JSON
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Effect": "Allow",
          "Principal": {
            "AWS": "arn:aws:iam::123456789012:root"
          },
          "Action": "sts:AssumeRole",
          "Condition": {
            "StringEquals": {
              "sts:ExternalId": [
                "65f0c0ffee",
                "5ca1ab1e"
              ]
            }
          }
        }
      ]
    }
  JSON
}

resource "aws_iam_role_policy" "millrace_both" {
  name   = "millrace-both"
  role   = aws_iam_role.millrace_both.name
  policy = <<-JSON
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Effect": "Allow",
          "Action": [
            "s3:ListBucket",
            "s3:GetBucketLocation"
          ],
          "Resource": [
            "arn:aws:s3:::acme-data"
          ]
        },
        {
          "Effect": "Allow",
          "Action": [
            "s3:PutObject",
            "s3:GetObject",
            "s3:DeleteObject"
          ],
          "Resource": [
            "arn:aws:s3:::acme-data/*"
          ]
        }
      ]
    }
  JSON
}

output "role_arn" {
  value = aws_iam_role.millrace_both.arn
}
