package control

import (
	"time"

	"github.com/millrace/millrace/internal/eventlog"
)

// Person is what the log has told of a person.
type Person struct {
	Row        int64 // number in the store: people of all workspaces have one order
	New        bool  // not in the store yet
	Known      Parts // what of it was read
	Changed    Parts // what of it the store has otherwise
	Workspace  uint32
	ID         PersonID
	ExternalID string // empty: none
	Bucket     int    // 0 to 9999, the same for ever
	CreatedAt  time.Time
	UpdatedAt  time.Time // by a change of attributes, not by each event

	// Standard attributes; empty: not known.
	FirstName, LastName, Email, Phone, Gender, Birth, Country, Language, TimeZone, HomeCity string
	EmailSubscribe, PushSubscribe                                                           Subscription

	FirstSession, LastSession, LastPurchase, UninstalledAt time.Time // zero: never
	Sessions, Purchases                                    int64
	Revenue                                                float64

	// JSON objects, empty for {}: custom attributes as they are; a Touch for each Medium; a PersonRest.
	Custom, Channels, Rest []byte
}

// Parts are parts of a Person that change apart from each other.
type Parts uint8

// The parts.
const (
	PartWho  Parts = 1 << iota // identifiers and standard attributes
	PartDone                   // what events count: sessions, purchases, when they last did something, channels
	PartMore                   // custom attributes and the rest

	AllParts = PartWho | PartDone | PartMore
)

// Subscription is what a person wants of a channel.
type Subscription string

// The states. Empty: nobody said.
const (
	OptedIn      Subscription = "opted_in"
	Subscribed   Subscription = "subscribed"
	Unsubscribed Subscription = "unsubscribed"
)

// Medium is a way by which messages come.
type Medium string

// The media.
const (
	MediumEmail       Medium = "email"
	MediumPush        Medium = "push"
	MediumInApp       Medium = "in_app"
	MediumContentCard Medium = "content_card"
	MediumSMS         Medium = "sms"
	MediumWhatsApp    Medium = "whatsapp"
	MediumLine        Medium = "line"
	MediumRCS         Medium = "rcs"
	MediumBanner      Medium = "banner"
	MediumWebhook     Medium = "webhook"
)

// Media lists them in the order in which they are shown.
func Media() []Medium {
	return []Medium{MediumEmail, MediumPush, MediumInApp, MediumContentCard, MediumSMS, MediumWhatsApp, MediumLine, MediumRCS, MediumBanner, MediumWebhook}
}

// Touch is when a person last had a message of a channel, and did something with one: milliseconds, 0: never.
type Touch struct {
	Received int64 `json:"r,omitempty"`
	Opened   int64 `json:"o,omitempty"`
	Clicked  int64 `json:"c,omitempty"`
}

// PersonRest is what is known of a person and seldom asked for.
type PersonRest struct {
	Aliases     []Alias           `json:"aliases,omitempty"`
	Active      Active            `json:"active,omitzero"` // days with a session
	Devices     []Device          `json:"devices,omitempty"`
	Apps        []AppUse          `json:"apps,omitempty"`
	PushTokens  []PushToken       `json:"push_tokens,omitempty"`
	Coordinates *[2]float64       `json:"coordinates,omitempty"` // longitude, latitude
	Other       map[string]string `json:"other,omitempty"`       // further standard attributes by name, as JSON text
	// SubscribedAt is when what a person wants of a channel (email, push) became what it is: milliseconds.
	SubscribedAt map[string]int64 `json:"subscribed_at,omitempty"`
}

// Device is a device that a person used.
type Device struct {
	ID         string `json:"id"`
	Model      string `json:"model,omitempty"`
	OS         string `json:"os,omitempty"`
	Platform   string `json:"platform,omitempty"`
	AdID       string `json:"ad_id,omitempty"`
	AdIDType   string `json:"ad_id_type,omitempty"`
	AdTracking *bool  `json:"ad_tracking,omitempty"`
}

// AppUse is how a person used an app.
type AppUse struct {
	ID        string `json:"id"`
	Platform  string `json:"platform,omitempty"`
	Version   string `json:"version,omitempty"`
	Sessions  int64  `json:"sessions"`
	FirstUsed int64  `json:"first_used"` // milliseconds
	LastUsed  int64  `json:"last_used"`
	Active    Active `json:"active,omitzero"`
}

// PushToken is where pushes go.
type PushToken struct {
	App      string `json:"app"`
	Token    string `json:"token"`
	Platform string `json:"platform,omitempty"`
	Device   string `json:"device,omitempty"`
}

// NameKind says what a Name names.
type NameKind uint8

// The kinds. Their numbers stand in databases.
const (
	NameAttribute NameKind = 1 // a custom attribute
	NameEvent     NameKind = 2 // a custom event
	NameProduct   NameKind = 3
	NameCampaign  NameKind = 4
	NameCanvas    NameKind = 5
	NameStep      NameKind = 6 // of a Canvas
	NameGroup     NameKind = 7 // a subscription group
	NameApp       NameKind = 8
	NameVariation NameKind = 9  // of a campaign or Canvas
	NameSend      NameKind = 10 // of a campaign: the id under which somebody asked for sends to be counted
)

// Name is something of a workspace that events name: what they know it by, and what they call it.
type Name struct {
	ID        int64
	Workspace uint32
	Kind      NameKind
	Name      string    // an id, where the vendor's calls use one
	Title     string    // the newest; empty: events do not say
	Parent    int64     // of a step its Canvas, of a variation and a send what they are of
	FirstAt   time.Time // when an event was accepted that names it
	LastAt    time.Time // likewise, to the hour
	FirstSent time.Time // of a campaign when it was sent, of a Canvas when somebody entered it; zero: never
	LastSent  time.Time
}

// IdentifierKind says what an Identifier is.
type IdentifierKind uint8

// The kinds that are kept. Their numbers stand in databases. People are also found by e-mail address and telephone
// number, which are attributes and may be several people's.
const (
	ByExternalID IdentifierKind = 1
	ByAlias      IdentifierKind = 2 // see AliasValue
	ByFormerID   IdentifierKind = 3 // an external id that was renamed
)

// Identifier names one person of a workspace.
type Identifier struct {
	Kind  IdentifierKind
	Value string
}

// ByNameOf gives the identifier that an alias is.
func ByNameOf(a Alias) Identifier { return Identifier{ByAlias, a.Label + "\x00" + a.Name} }

// PersonIdentity is whom an identifier names.
type PersonIdentity struct {
	Workspace uint32
	Identifier
	Person PersonID // empty: nobody any more
	From   PersonID // of what a batch says: who had it before, if that was somebody else; of one that is another's by now nothing is taken
}

// Flags are what a person did with what they had of a campaign, Canvas or step. Their numbers stand in databases.
type Flags uint32

// The flags.
const (
	OpenedEmail Flags = 1 << iota
	OpenedPush
	ClickedEmail
	ClickedInApp
	ClickedOther
	OpenedOther
	Converted
	InControl
)

// PersonAttribute is the value of a custom attribute as filters compare it. Neither number nor text: it has none.
type PersonAttribute struct {
	Name, Person int64
	Number       *float64 // of numbers, booleans (0, 1) and times (milliseconds)
	Text         *string  // of texts; of an array its items, with ItemBetween around each
}

// PersonEvents are custom events or purchases to be added to what a person did.
type PersonEvents struct {
	Name, Person int64
	First, Last  time.Time
	Count        int64
	Revenue      float64
}

// Deed is a custom event or a product, and how often a person did or bought it.
type Deed struct {
	Kind        NameKind
	Name        string
	First, Last time.Time
	Count       int64
	Revenue     float64
}

// PersonMessage is to be joined to what a person had of a campaign, Canvas or step: the last time they received or
// entered it, the first time they opened or clicked.
type PersonMessage struct {
	Name, Person                               int64
	Variation                                  string
	Flags                                      Flags
	Received, Opened, Clicked, Entered, Exited time.Time
}

// Had is what a person had of a campaign, a Canvas or a step.
type Had struct {
	Of   Name
	Deed PersonMessage
}

// GroupWish is what a person wants of the subscription group with an id.
type GroupWish struct {
	ID         string
	Subscribed bool
	At         time.Time
}

// PersonGroup is what a person wants of a subscription group.
type PersonGroup struct {
	Name, Person int64
	Subscribed   bool
	At           time.Time
}

// SetAside is a record that could not be applied.
type SetAside struct {
	Offset    eventlog.Offset
	Workspace uint32
	EventType string
	Reason    string
	At        time.Time
}

// PersonMove ends a person: what they did is added to Into, or goes with them if that is 0.
type PersonMove struct {
	Person    int64
	Workspace uint32
	ID        PersonID
	Into      int64
	IntoID    PersonID
}

// PeopleBatch is what consecutive records of the log made of people: one transaction with the cursor. It is applied in the
// order of its fields; no two rows of a list have the same key.
type PeopleBatch struct {
	Log        eventlog.ID
	From, Next eventlog.Offset // the cursor before and after
	Names      []Name          // new, or with a newer title or time
	Moves      []PersonMove
	People     []*Person // new or changed, by Row
	Attributes []PersonAttribute
	Events     []PersonEvents
	Messages   []PersonMessage
	Groups     []PersonGroup
	Stats      []Stat
	Identities []PersonIdentity // those that nobody has yet, and with From those that somebody has no more
	SetAside   []SetAside
}

// Profile is a person with what they did and had.
type Profile struct {
	*Person
	Deeds []Deed // custom events and products, by kind and name
	Had   []Had  // campaigns, Canvases and steps, by kind and name
}

// ProfileNeeds are the parts of profiles that whoever reads many of them needs beside who people are.
type ProfileNeeds struct {
	Custom    bool       // what is Custom
	Rest      bool       // what is Rest
	Events    bool       // custom events among Deeds
	Purchases bool       // products among Deeds
	Only      []string   // names of the custom events; nil: all
	Had       []NameKind // what is in Had; nil: nothing
	HadOf     string     // the id of the one among them; empty: all
	Since     time.Time  // deeds that were last done before are left out
}
