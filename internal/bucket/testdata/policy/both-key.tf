resource "aws_iam_user" "millrace_both" {
  name = "millrace-both"
}

resource "aws_iam_user_policy" "millrace_both" {
  name   = "millrace-both"
  user   = aws_iam_user.millrace_both.name
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

# The access key is left out, since its secret would stand in the state:
#   aws iam create-access-key --user-name millrace-both
