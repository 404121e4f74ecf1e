package s3

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/millrace/millrace/internal/secret"
)

// Key is a key of the installation's own.
type Key struct {
	ID     string
	Secret secret.Value
}

// baseWindow is how long before their end the installation's own credentials are fetched anew.
const baseWindow = 5 * time.Minute

// containerHost is where containers of ECS find credentials. Source: Amazon ECS developer guide, task IAM roles.
const containerHost = "http://169.254.170.2"

// noBase marks an error of the installation's own credentials, before anything was asked of STS.
type noBase struct{ cause error }

func (e *noBase) Error() string { return "the installation has no AWS credentials: " + e.cause.Error() }
func (e *noBase) Unwrap() error { return e.cause }

// base is the installation's own credentials, with errors marked as theirs.
type base struct{ aws.CredentialsProvider }

func (b base) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := b.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &noBase{err}
	}
	return c, err
}

// newBase finds where the installation's own credentials come from, in the order of AWS's own tools: a key in the
// environment, the token of a service account (EKS), the address that a container is given (ECS, EKS), the role of
// the machine (EC2). Shared configuration files are not read. It connects to nothing. Without cfg.Env nothing is
// looked for, not even the machine's role.
//
// Source: AWS SDKs and Tools reference guide, standardized credential providers.
func newBase(cfg Config, client func(aws.CredentialsProvider) *sts.Client) base {
	env := cfg.Env
	cached := func(p aws.CredentialsProvider) base {
		return base{aws.NewCredentialsCache(p, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = baseWindow })}
	}
	switch {
	case cfg.Base.ID != "":
		return base{credentials.NewStaticCredentialsProvider(cfg.Base.ID, cfg.Base.Secret.Reveal(), "")}
	case env == nil:
		return base{none("neither a key nor an environment is given")}
	case env("AWS_ACCESS_KEY_ID") != "" && env("AWS_SECRET_ACCESS_KEY") != "":
		return base{credentials.NewStaticCredentialsProvider(env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN"))}
	case env("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		return cached(stscreds.NewWebIdentityRoleProvider(client(aws.AnonymousCredentials{}), env("AWS_ROLE_ARN"),
			stscreds.IdentityTokenFile(env("AWS_WEB_IDENTITY_TOKEN_FILE")),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = env("AWS_ROLE_SESSION_NAME") }))
	case env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "":
		return cached(container(containerHost+env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), env))
	case env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return cached(container(env("AWS_CONTAINER_CREDENTIALS_FULL_URI"), env))
	}
	if strings.EqualFold(env("AWS_EC2_METADATA_DISABLED"), "true") {
		return base{none("the environment holds none, and the machine may not be asked")}
	}
	return cached(ec2rolecreds.New())
}

// none is where no credentials come from.
func none(why string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New(why)
	})
}

// container asks an address on the machine for credentials.
func container(address string, env func(string) string) aws.CredentialsProvider {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && !local(u.Hostname()) {
		return none("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor on this machine")
	}
	return endpointcreds.New(address, func(o *endpointcreds.Options) {
		o.Retryer = aws.NopRetryer{} // the caller tries again
		o.AuthorizationToken = env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if file := env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				token, err := stscreds.IdentityTokenFile(file).GetIdentityToken()
				return string(token), err
			})
		}
	})
}

// local tells whether credentials may be asked for without TLS there. Source: AWS SDKs and Tools reference guide,
// container credential provider.
func local(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && (a.IsLoopback() || a == netip.MustParseAddr("169.254.170.2") ||
		a == netip.MustParseAddr("169.254.170.23") || a == netip.MustParseAddr("fd00:ec2::23"))
}

// ownDial connects to what the operator names: no guard, but a time-out.
func ownDial() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext
}
