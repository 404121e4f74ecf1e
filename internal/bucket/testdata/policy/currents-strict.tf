resource "aws_iam_user" "millrace_currents" {
  name = "millrace-currents"
}

resource "aws_iam_user_policy" "millrace_currents" {
  name   = "millrace-currents"
  user   = aws_iam_user.millrace_currents.name
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
            "s3:GetObject"
          ],
          "Resource": [
            "arn:aws:s3:::acme-data/currents/*"
          ]
        }
      ]
    }
  JSON
}

# The access key is left out, since its secret would stand in the state:
#   aws iam create-access-key --user-name millrace-currents
