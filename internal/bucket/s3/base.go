package s3

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/logging"

	"github.com/millrace/millrace/internal/secret"
)

// Key is a key of the installation's own.
type Key struct {
	ID     string
	Secret secret.Value
}

// baseWindow is how long before their end the installation's own credentials are fetched anew.
const baseWindow = 5 * time.Minute

// noBase marks an error of the installation's own credentials, before anything was asked of STS.
type noBase struct{ cause error }

func (e *noBase) Error() string { return "none were found: " + e.cause.Error() }
func (e *noBase) Unwrap() error { return e.cause }

// base is the installation's own credentials, with errors marked as theirs, and the region that is its own.
type base struct {
	aws.CredentialsProvider
	region string // empty: not known
}

func (b base) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := b.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &noBase{err}
	}
	return c, err
}

// newBase finds where the installation's own credentials come from: what it is given, or the SDK's standard chain
// (environment, shared files and profiles, web identity, container, machine), which also knows the region. It connects
// to nothing.
//
// Source: AWS SDKs and Tools reference guide, standardized credential providers.
func newBase(cfg Config) base {
	own := none(errors.New("neither a key nor a chain is given"))
	if cfg.Base.ID != "" {
		own = credentials.NewStaticCredentialsProvider(cfg.Base.ID, cfg.Base.Secret.Reveal(), "")
	}
	if !cfg.Chain {
		return base{CredentialsProvider: own}
	}
	// What it has to say comes as errors; its own lines would stand among the output of commands.
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{}), config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = baseWindow
	})}
	if cfg.Base.ID != "" {
		options = append(options, config.WithCredentialsProvider(own))
	}
	found, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return base{CredentialsProvider: none(err)}
	}
	return base{found.Credentials, found.Region}
}

// none is where no credentials come from.
func none(why error) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, why })
}

// ownDial connects to what the operator names: no guard, but a time-out.
func ownDial() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext
}
