resource "aws_iam_user" "millrace_exports" {
  name = "millrace-exports"
}

resource "aws_iam_user_policy" "millrace_exports" {
  name   = "millrace-exports"
  user   = aws_iam_user.millrace_exports.name
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
#   aws iam create-access-key --user-name millrace-exports
