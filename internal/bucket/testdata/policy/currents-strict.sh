aws iam create-user --user-name millrace-currents
aws iam put-user-policy --user-name millrace-currents --policy-name millrace-currents --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::acme-data"]},{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject"],"Resource":["arn:aws:s3:::acme-data/currents/*"]}]}'
aws iam create-access-key --user-name millrace-currents
