package client

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Count is what came of the events of a minute, an hour or a day. Test events are left out.
type Count struct {
	At        time.Time `json:"at" doc:"When the minute, hour or day begins."`
	Accepted  int64     `json:"accepted" doc:"Accepted then while the connector selected their type."`
	Delivered int64     `json:"delivered" doc:"Of an hour or a day: those of them that are in the bucket. Of a minute: what was brought there in it, whenever it was accepted."`
	Dropped   int64     `json:"dropped" doc:"Likewise of what was dropped by rule. What was lost in unknown number is only in the audit."`
	Bytes     int64     `json:"bytes" doc:"Of the files that delivered."`
}

// ConnectorCounts are a connector's last 24 hours.
type ConnectorCounts struct {
	Connector string  `json:"connector" doc:"Its id."`
	Accepted  int64   `json:"accepted" doc:"Of the hours in all."`
	Delivered int64   `json:"delivered"`
	Dropped   int64   `json:"dropped"`
	Hours     []Count `json:"hours" doc:"24 hours of acceptance, oldest first; the last is under way."`
}

// Overview is how a workspace does.
type Overview struct {
	Connectors   ConnectorStates `json:"connectors"`
	Minutes      []MinuteCount   `json:"minutes" doc:"The last 60, oldest first; the last is under way."`
	Accepted     int64           `json:"accepted" doc:"Events of the last 24 hours of acceptance, each once, however many connectors carry it. Test events are left out."`
	Day          Count           `json:"day" doc:"The last 24 hours of acceptance, over all connectors: an event that two of them carry counts twice."`
	Unread       int             `json:"unread_notices" doc:"By the member who asks."`
	OldestUnread *Notice         `json:"oldest_unread,omitempty" doc:"The notice that has waited longest to be read."`
	Worst        *Lag            `json:"worst_lag,omitempty" doc:"The connector whose oldest event waits longest; absent if none waits, or the server that was asked does not deliver."`
}

// ConnectorStates says how many connectors are in which state. Drafts and deleted ones are left out.
type ConnectorStates struct {
	Active  int `json:"active"`
	Failing int `json:"failing"`
	Paused  int `json:"paused"`
}

// MinuteCount is what a workspace accepted in a minute, whoever carries it. Test events are left out.
type MinuteCount struct {
	At       time.Time `json:"at" doc:"When the minute begins."`
	Accepted int64     `json:"accepted"`
}

// Lag is how far a connector is behind.
type Lag struct {
	Connector string  `json:"connector" doc:"Its id."`
	Name      string  `json:"name"`
	Seconds   float64 `json:"lag_seconds" doc:"Age of the oldest event that was read and is not in the bucket."`
	Events    int64   `json:"waiting_events" doc:"How many of these there are."`
}

// FileRecords are the first records of a file.
type FileRecords struct {
	Records []json.RawMessage `json:"records" doc:"Objects with every field of the type, in the order of the file."`
	More    bool              `json:"more" doc:"The file has more of them."`
}

// CountFilter says which counts are wanted.
type CountFilter struct {
	By    string    // minute, hour, day; empty: hour
	From  time.Time // zero: 60 minutes, 24 hours or 30 days before Until
	Until time.Time // zero: now
	Zone  string    // of days, as America/Sao_Paulo; empty: UTC
}

// GetConnectorCounts gives what came of a connector's events over time, oldest first, also of minutes, hours and days
// with nothing. Minutes are kept for some hours.
func (c *Client) GetConnectorCounts(ctx context.Context, workspace, id string, f CountFilter) ([]Count, error) {
	p, err := ask[Page[Count]](ctx, c, get(path("/workspaces/%s/connectors/%s/counts", workspace, id)).
		with(map[string]string{"by": f.By, "from": moment(f.From), "until": moment(f.Until), "zone": f.Zone}))
	return p.Items, err
}

// GetCounts gives the last 24 hours of a workspace's connectors that are not deleted, in the order of their names: of those
// with these ids, or of all if none is given.
func (c *Client) GetCounts(ctx context.Context, workspace string, connectors ...string) ([]ConnectorCounts, error) {
	p, err := ask[Page[ConnectorCounts]](ctx, c, get(path("/workspaces/%s/counts", workspace)).with(map[string]string{"connectors": strings.Join(connectors, ",")}))
	return p.Items, err
}

// GetOverview gives how a workspace does, with its notice.
func (c *Client) GetOverview(ctx context.Context, workspace string) (Overview, error) {
	return ask[Overview](ctx, c, get(path("/workspaces/%s/overview", workspace)).told(c))
}

// GetFileRecords reads the first records of a file, up to 100, with the connector's credentials; 0: ten. The log of
// changes keeps who looked.
//
// Errors: forbidden without the right to export user data; conflict if the file cannot be read, with what whoever owns
// the bucket can do about it.
func (c *Client) GetFileRecords(ctx context.Context, workspace, connector, file string, n int) (FileRecords, error) {
	records := ""
	if n > 0 {
		records = strconv.Itoa(n)
	}
	return ask[FileRecords](ctx, c, get(path("/workspaces/%s/connectors/%s/files/%s/records", workspace, connector, file)).
		with(map[string]string{"records": records}))
}
