aws iam create-user --user-name millrace-exports
aws iam put-user-policy --user-name millrace-exports --policy-name millrace-exports --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:ListBucket","s3:GetBucketLocation"],"Resource":["arn:aws:s3:::acme-data"]},{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":["arn:aws:s3:::acme-data*","arn:aws:s3:::acme-data/","arn:aws:s3:::acme-data"]}]}'
aws iam create-access-key --user-name millrace-exports
