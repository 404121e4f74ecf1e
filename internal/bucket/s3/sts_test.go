package s3

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/secret"
)

// newTokens asks an STS that is reached, or not, by dial.
func newTokens(cfg Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *tokens {
	cfg.Dial = dial
	cfg.Base = Key{"AKIDBASE", secret.New("base-secret")}
	o := NewOpener(cfg)
	o.tokens.transport.DialContext = dial
	return o.tokens
}

func TestSTSIsAskedInARegionThatIsOurs(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", "/not/there")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/not/there")
	for _, tt := range []struct {
		name              string
		env               map[string]string
		ofBucket, arn     string
		endpoint, reaches string
	}{
		{"our own", map[string]string{"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-3"}, "ap-east-1", "arn:aws:iam::210987654321:role/r", "", "sts.eu-west-1.amazonaws.com:443"},
		{"our own by default", map[string]string{"AWS_DEFAULT_REGION": "eu-west-3"}, "ap-east-1", "arn:aws:iam::210987654321:role/r", "", "sts.eu-west-3.amazonaws.com:443"},
		{"the bucket's", nil, "sa-east-1", "arn:aws:iam::210987654321:role/r", "", "sts.sa-east-1.amazonaws.com:443"},
		{"none is known", nil, "", "arn:aws:iam::210987654321:role/r", "", "sts.us-east-1.amazonaws.com:443"},
		{"none is known in China", nil, "", "arn:aws-cn:iam::210987654321:role/r", "", "sts.cn-north-1.amazonaws.com.cn:443"},
		{"none is known in GovCloud", nil, "", "arn:aws-us-gov:iam::210987654321:role/r", "", "sts.us-gov-west-1.amazonaws.com:443"},
		{"what no region is called", map[string]string{"AWS_REGION": "x.example.com/"}, "", "arn:aws:iam::210987654321:role/r", "", "sts.us-east-1.amazonaws.com:443"},
		{"an endpoint", map[string]string{"AWS_REGION": "eu-west-1"}, "", "arn:aws:iam::210987654321:role/r", "http://storage.example.com:9000/", "storage.example.com:9000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reached := ""
			for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
				t.Setenv(name, tt.env[name])
			}
			ts := newTokens(Config{STSEndpoint: tt.endpoint, Chain: true}, func(_ context.Context, _, addr string) (net.Conn, error) {
				reached = addr
				return nil, errors.New("as far as this test goes")
			})
			_, err := ts.ask(t.Context(), roleKey{tt.arn, "id", "name"}, tt.ofBucket)
			if reached != tt.reaches || err == nil || err.Problem != bucket.Network {
				t.Errorf("reached %q, want %q; %v", reached, tt.reaches, err)
			}
		})
	}
}

func TestAnSTSThatDoesNotAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTokens(Config{STSEndpoint: "http://storage.example.com"}, func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			t.Cleanup(func() { far.Close() })
			go func() {
				b := make([]byte, 1<<10)
				for {
					if _, err := far.Read(b); err != nil {
						return
					}
				}
			}()
			return near, nil
		})
		begun := time.Now()
		_, err := ts.ask(t.Context(), key1, "us-east-1")
		if took := time.Since(begun); err == nil || err.Problem != bucket.Network || took != stsTimeout {
			t.Errorf("after %s: %v", took, err)
		}
		ts.transport.CloseIdleConnections()
	})
}
