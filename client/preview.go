package client

import "context"

// Preview is what a change would come to.
type Preview struct {
	Before map[string]any `json:"before" doc:"Fields that would differ, as they are; secrets are redacted."`
	After  map[string]any `json:"after" doc:"The same fields as they would be."`
	Check  bool           `json:"check" doc:"The change would wait for a check of the credentials."`
}

// PreviewConnector says what UpdateConnector would change, and changes nothing. Errors: as that, whatever the version.
func (c *Client) PreviewConnector(ctx context.Context, workspace, id string, e ConnectorEdit) (Preview, error) {
	return ask[Preview](ctx, c, post(path("/workspaces/%s/connectors/%s/preview", workspace, id), e))
}
