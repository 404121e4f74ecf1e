package client

import (
	"context"
	"encoding/json"
	"time"
)

// ProfileQuery says whom one looks for: by one of its fields.
type ProfileQuery struct {
	ExternalID string
	UserID     string
	Alias      string // as label:name
	Email      string
	Phone      string
}

// ProfileHead is a person, as lists show them.
type ProfileHead struct {
	UserID     string    `json:"user_id"`
	ExternalID string    `json:"external_id,omitempty"`
	FirstName  string    `json:"first_name,omitempty"`
	LastName   string    `json:"last_name,omitempty"`
	Email      string    `json:"email,omitempty"`
	Phone      string    `json:"phone,omitempty"`
	Country    string    `json:"country,omitempty"`
	Language   string    `json:"language,omitempty"`
	CreatedAt  time.Time `json:"created_at" doc:"When the first event about them was accepted."`
	UpdatedAt  time.Time `json:"updated_at" doc:"When an attribute of theirs last changed."`
}

// Profile is what is kept of a person that events are about. Each of its lists has 500 items at most, the newest.
type Profile struct {
	ProfileHead
	Aliases        []ProfileAlias             `json:"aliases"`
	RandomBucket   int                        `json:"random_bucket" doc:"0 to 9999."`
	Gender         string                     `json:"gender,omitempty"`
	Birth          string                     `json:"dob,omitempty" doc:"As 2006-01-02."`
	TimeZone       string                     `json:"time_zone,omitempty"`
	HomeCity       string                     `json:"home_city,omitempty"`
	EmailSubscribe string                     `json:"email_subscribe,omitempty" enum:",opted_in,subscribed,unsubscribed"`
	PushSubscribe  string                     `json:"push_subscribe,omitempty" enum:",opted_in,subscribed,unsubscribed"`
	Other          map[string]json.RawMessage `json:"other_attributes" doc:"Further standard attributes."`
	Custom         map[string]json.RawMessage `json:"custom_attributes"`
	Location       *ProfileLocation           `json:"location,omitempty" doc:"The last known."`

	FirstSession  *time.Time `json:"first_session,omitempty"`
	LastSession   *time.Time `json:"last_session,omitempty"`
	Sessions      int64      `json:"sessions"`
	Purchases     int64      `json:"purchases"`
	Revenue       float64    `json:"revenue" doc:"Of all purchases, whatever their currency."`
	LastPurchase  *time.Time `json:"last_purchase,omitempty"`
	UninstalledAt *time.Time `json:"uninstalled_at,omitempty"`

	Events    []ProfileDeed    `json:"custom_events"`
	Products  []ProfileDeed    `json:"products" doc:"What they bought."`
	Campaigns []ProfileMessage `json:"campaigns"`
	Canvases  []ProfileMessage `json:"canvases"`
	Channels  []ProfileChannel `json:"channels" doc:"Of every campaign and Canvas."`
	Groups    []ProfileGroup   `json:"subscription_groups"`
	Apps      []ProfileApp     `json:"apps"`
	Devices   []ProfileDevice  `json:"devices"`
	Tokens    []ProfileToken   `json:"push_tokens"`

	Segments     []ProfileSegment `json:"segments" doc:"Those that hold them now, by name."`
	SegmentsLeft int              `json:"segments_left,omitempty" doc:"How many segments were not looked at: those after the first 100 by name."`

	Lag *ProfileLag `json:"lag,omitempty" doc:"What is not in profiles yet; absent if the server that was asked does not keep them up."`
}

// ProfileAlias is a second name of a person.
type ProfileAlias struct {
	Label string `json:"alias_label"`
	Name  string `json:"alias_name"`
}

// ProfileSegment is a segment that holds a person.
type ProfileSegment struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// ProfileLocation is a place on earth.
type ProfileLocation struct {
	Longitude float64 `json:"longitude"`
	Latitude  float64 `json:"latitude"`
}

// ProfileDeed is a custom event or a product, and how often a person did or bought it.
type ProfileDeed struct {
	Name    string    `json:"name"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Count   int64     `json:"count"`
	Revenue float64   `json:"revenue"`
}

// ProfileMessage is what a person had of a campaign, a Canvas or a step of one.
type ProfileMessage struct {
	ID        string           `json:"id"`
	Title     string           `json:"title,omitempty" doc:"As events have it last."`
	Variation string           `json:"variation_id,omitempty"`
	Received  *time.Time       `json:"last_received,omitempty"`
	Opened    *time.Time       `json:"first_opened,omitempty"`
	Clicked   *time.Time       `json:"first_clicked,omitempty"`
	Entered   *time.Time       `json:"last_entered,omitempty" doc:"Of a Canvas."`
	Exited    *time.Time       `json:"last_exited,omitempty" doc:"Of a Canvas."`
	Converted bool             `json:"converted"`
	InControl bool             `json:"in_control"`
	Steps     []ProfileMessage `json:"steps,omitempty" doc:"Of a Canvas."`
}

// ProfileChannel is when a person last had a message of a channel, and did something with one.
type ProfileChannel struct {
	Channel  string     `json:"channel" enum:"email,push,in_app,content_card,sms,whatsapp,line,rcs,banner,webhook"`
	Received *time.Time `json:"last_received,omitempty"`
	Opened   *time.Time `json:"last_opened,omitempty"`
	Clicked  *time.Time `json:"last_clicked,omitempty"`
}

// ProfileGroup is what a person wants of a subscription group.
type ProfileGroup struct {
	ID    string    `json:"id"`
	State string    `json:"state" enum:"subscribed,unsubscribed"`
	At    time.Time `json:"at"`
}

// ProfileApp is how a person used an app.
type ProfileApp struct {
	ID        string    `json:"id"`
	Platform  string    `json:"platform,omitempty"`
	Version   string    `json:"version,omitempty"`
	Sessions  int64     `json:"sessions"`
	FirstUsed time.Time `json:"first_used"`
	LastUsed  time.Time `json:"last_used"`
}

// ProfileDevice is a device of a person.
type ProfileDevice struct {
	ID       string `json:"id"`
	Model    string `json:"model,omitempty"`
	OS       string `json:"os,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// ProfileToken is where pushes to a person go.
type ProfileToken struct {
	App      string `json:"app"`
	Token    string `json:"token" doc:"Its beginning and its end."`
	Platform string `json:"platform,omitempty"`
	Device   string `json:"device,omitempty"`
}

// ProfileLag is how far profiles are behind what was accepted, in time: offsets do not count events.
type ProfileLag struct {
	Seconds     float64   `json:"lag_seconds" doc:"How long at least the oldest event has waited that is in no profile yet; 0: none waits."`
	AsOf        time.Time `json:"as_of" doc:"What was accepted before is in profiles, segments and statistics, but for what was set aside."`
	StandsStill bool      `json:"stands_still" doc:"Events wait, and for five minutes none has been taken up."`
}

// SetAside is an event that could not be taken up in profiles and statistics, or a range that the log no longer held.
type SetAside struct {
	At        time.Time `json:"at" doc:"When the event was accepted, or the range was missed."`
	Workspace string    `json:"workspace,omitempty" doc:"Its id. Absent: a range, of which nobody knows whose it was."`
	Offset    int64     `json:"offset" doc:"Where it stands in the log."`
	EventType string    `json:"event_type,omitempty"`
	Reason    string    `json:"reason" doc:"For the operator, in English."`
}

// SetAsides are the newest of what was set aside, and how many there are of them.
type SetAsides struct {
	Items []SetAside `json:"items" doc:"100 at most, the newest first."`
	Total int64      `json:"total"`
}

// ListSetAside gives what of a workspace's events could not be taken up in profiles, and ranges of which nobody knows whose
// they were. Errors: not_found if the installation keeps no profiles.
func (c *Client) ListSetAside(ctx context.Context, workspace string) (SetAsides, error) {
	return ask[SetAsides](ctx, c, get(path("/workspaces/%s/set-aside", workspace)))
}

// FindProfiles gives whom q names, of one address at most 100, those that changed last. The log of changes keeps who looked.
//
// Errors: forbidden without the right to export user data; not_found if the installation keeps no profiles; invalid unless
// one field of q is set.
func (c *Client) FindProfiles(ctx context.Context, workspace string, q ProfileQuery) ([]ProfileHead, error) {
	p, err := ask[Page[ProfileHead]](ctx, c, get(path("/workspaces/%s/people", workspace)).
		with(map[string]string{"external_id": q.ExternalID, "user_id": q.UserID, "alias": q.Alias, "email": q.Email, "phone": q.Phone}))
	return p.Items, err
}

// GetProfile gives what is kept of a person, by their user id. The log of changes keeps who looked at whom.
//
// Errors: as FindProfiles; not_found, also if the person is another workspace's.
func (c *Client) GetProfile(ctx context.Context, workspace, person string) (Profile, error) {
	return ask[Profile](ctx, c, get(path("/workspaces/%s/people/%s", workspace, person)))
}

// EraseProfile deletes a person: what is kept of them goes at once, and connectors are told. The log's copy of their events
// ends with its retention; files that were delivered are the customer's.
//
// Errors: as GetProfile; forbidden for who is no administrator; unavailable if the server that was asked does not take events.
func (c *Client) EraseProfile(ctx context.Context, workspace, person string) error {
	return c.tell(ctx, del(path("/workspaces/%s/people/%s", workspace, person)))
}
