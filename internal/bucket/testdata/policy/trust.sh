aws iam create-role --role-name millrace-currents --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"65f0c0ffee"}}}]}'
aws iam get-role --role-name millrace-currents --query Role.Arn --output text
