// Package buckettest is how buckets are tested: Run is the suite that every implementation of bucket.Bucket
// passes, Memory a bucket in memory whose calls fail by script, Versity a real S3 server with its own users,
// policies and keys. Only tests import it.
package buckettest
