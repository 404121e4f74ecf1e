resource "aws_iam_role" "millrace_currents" {
  name               = "millrace-currents"
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
              "sts:ExternalId": "65f0c0ffee"
            }
          }
        }
      ]
    }
  JSON
}

output "role_arn" {
  value = aws_iam_role.millrace_currents.arn
}
