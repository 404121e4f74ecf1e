package app

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/fault"
)

// client gives what asks the server that the command names. Errors: invalid; not_found: the token's file.
func (cmd Apply) client(s Settings) (*client.Client, error) {
	u, err := url.Parse(cmd.Server)
	switch {
	case err != nil || u.Host == "" || !bucket.PortExists(u) || bucket.ValidateHost("server", u) != nil || u.Scheme != "https" && u.Scheme != "http":
		return nil, Usage("--server "+cmd.Server+" is no address of a server", "Write it as https://millrace.example")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, Usage("--server takes an address without user, ? and #", "The token comes in "+config.TokenVariable+", or by --token-file.")
	case u.Scheme == "http" && !config.Loopback(u.Hostname()) && !cmd.InsecureHTTP:
		return nil, Usage("by "+u.Scheme+"://"+u.Host+" the token and the secrets of the file would go over the network in clear", "Use https://, or say --insecure-http if the network is to be trusted.")
	}
	token, _ := s.env(config.TokenVariable)
	if cmd.TokenFile != "" {
		b, err := readSecretFile(cmd.TokenFile)
		if err != nil {
			return nil, err
		}
		token = string(b)
	}
	if token == "" {
		return nil, Usage("there is no personal token to show to the server", "Put it into "+config.TokenVariable+" or into a file named by --token-file. On the server's machine one is made by millrace member token.")
	}
	return client.New(cmd.Server, token), nil
}

// fromServer gives an error of asking the server at base as one of this program.
func fromServer(base string, err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	said, ok := errors.AsType[*client.Error](err)
	if !ok {
		return fault.From(err, fault.Unavailable, "ask "+base)
	}
	if said.Code == "" {
		return fault.New(fault.Unavailable, "ask "+base, "%s", said.Error()).WithHint("Does Millrace answer there? curl %s/healthz", strings.TrimRight(base, "/"))
	}
	e := &fault.Error{Code: fault.Code(said.Code), Msg: fault.Message{Text: said.Message}, Hint: fault.Message{Text: said.Hint}}
	for _, p := range said.Fields {
		e.Fields = append(e.Fields, fault.Problem{Field: p.Field, Code: p.Code, Message: p.Message})
	}
	if e.Code == fault.Internal && said.RequestID != "" {
		e.Hint.Text = "The server's log has more under request_id " + said.RequestID + "."
	}
	return e
}
