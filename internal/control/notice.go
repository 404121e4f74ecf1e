package control

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/eventlog"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/secret"
)

// Notice is something that people are told: a row of the inbox, from which mails and webhooks are made.
//
// There is one of a kind for each episode of its subject: writing it again changes nothing.
type Notice struct {
	ID        int64       // 0: new
	Workspace uint32      // 0: concerns the installation itself
	Connector ConnectorID // empty: none
	Kind      NoticeKind
	// Episode tells one occasion from the next: the same workspace, connector, kind and episode is the same notice.
	Episode string
	At      time.Time
	Params  map[string]string // what its sentences name; never a secret
	// Planned: who is to be sent it stands in its sends.
	Planned bool
}

// ParamContact is the parameter of a notice that says whom to mail, where the connector it names may not be stored: a
// launch is told of before, and if it fails nothing is.
const ParamContact = "contact"

// ParamSaid is the parameter of a notice that says in JSON, as a Said, what lets its message and hint be said in the
// reader's language. It is nothing for programs.
const ParamSaid = "said"

// Said is a sentence, its advice and what they name, as the catalogues know them.
type Said struct {
	Message fault.Message `json:"message"`
	Hint    fault.Message `json:"hint"`
	Params  fault.Params  `json:"params,omitempty"`
}

// ParamDeleted is the parameter of a notice of losses that says, by "true", that the connector is deleted: they cannot
// be delivered afterwards.
const ParamDeleted = "deleted"

// Facts are the parameters that programs are told: none is an address of a person, or only there for sentences.
func (n Notice) Facts() map[string]string {
	facts := map[string]string{}
	for k, v := range n.Params {
		switch k {
		case ParamContact, ParamTo, ParamLanguage, ParamSaid:
		default:
			facts[k] = v
		}
	}
	return facts
}

// NoticeKind is what a notice is about. Its sentences are those of text under "notice.KIND".
type NoticeKind string

// The kinds, with the parameters that each has. Every kind about a connector also has "workspace" and "connector".
const (
	NoticeCheckPassed    NoticeKind = "check_passed"    // bucket, trigger (a CheckTrigger)
	NoticeCheckFailed    NoticeKind = "check_failed"    // bucket, trigger, problem, message, hint
	NoticeFailing        NoticeKind = "failing"         // bucket, problem, message, since, until (RFC 3339)
	NoticeHalfTime       NoticeKind = "half_time"       // as failing
	NoticeLastCall       NoticeKind = "last_call"       // as failing
	NoticeDropped        NoticeKind = "dropped"         // reason, events, first_hour, last_hour, types ("type: n, …"), deleted
	NoticeResumed        NoticeKind = "resumed"         // bucket, since
	NoticeSlow           NoticeKind = "slow"            // bucket, problem, message, since
	NoticePauseHalf      NoticeKind = "pause_half"      // since, until: the pause nears its limit
	NoticePauseLast      NoticeKind = "pause_last"      // the same
	NoticeHourComplete   NoticeKind = "hour_complete"   // hour, delivered, dropped, types (JSON); webhooks only
	NoticeKeyUnused      NoticeKind = "key_unused"      // key, since
	NoticeKeyExpiring    NoticeKind = "key_expiring"    // key, at: it ends soon
	NoticeKeyExpired     NoticeKind = "key_expired"     // key, at
	NoticeExportReady    NoticeKind = "export_ready"    // export (its id), export_kind, name (of what it is of), by, people, bytes, until; bucket and folder if one is linked
	NoticeExportFailed   NoticeKind = "export_failed"   // as export_ready, without people, bytes, until; message, hint
	NoticeSchedulePaused NoticeKind = "schedule_paused" // schedule (its id), export_kind, name, by (whose it is), message, hint
	NoticeDiskQuota      NoticeKind = "disk_quota"      // used, limit (bytes): the installation's, as are those that follow
	NoticeProfilesStill  NoticeKind = "profiles_still"  // since: nothing is taken up in profiles
	NoticeSetAside       NoticeKind = "set_aside"       // offset, type, reason: of the newest event that profiles lack
)

// Urgent reports whether events are lost or may be, or no longer.
func (k NoticeKind) Urgent() bool {
	switch k {
	case NoticeFailing, NoticeHalfTime, NoticeLastCall, NoticeDropped, NoticeResumed, NoticePauseLast:
		return true
	}
	return false
}

// Send is one message made of notices: a mail to an address, or a call of a webhook.
type Send struct {
	ID       int64 // 0: new
	Notices  []int64
	Channel  Channel
	Address  string // of the mail
	Webhook  int64  // id of the webhook
	Tries    int
	FirstTry time.Time // zero: not tried yet
	NextTry  time.Time
	Done     time.Time // zero: not accepted yet
	Failed   string    // why it was given up; empty: it was not
}

// Channel is how a notice reaches somebody.
type Channel string

// The channels.
const (
	ChannelMail    Channel = "mail"
	ChannelWebhook Channel = "webhook"
)

// Recipient is who is sent a mail.
type Recipient struct {
	Email    string
	Language string // one of Languages
}

// Webhook is an address of a workspace's that is called with notices, signed with its secret.
type Webhook struct {
	ID        int64
	Workspace uint32
	URL       string // unique in the workspace
	Secret    secret.Value
	Kinds     []NoticeKind // empty: all
	CreatedAt time.Time
}

// HourDone is an hour of a connector of which every accepted event is in the bucket or in the ledger as dropped.
type HourDone struct {
	Connector ConnectorID
	Workspace uint32
	Hour      eventlog.Hour
	At        time.Time
	Counts    []HourCount // by event type
}

// HourCount is an hour's audit for one event type: accepted = delivered + dropped + waiting.
type HourCount struct {
	EventType                             string
	Accepted, Delivered, Dropped, Waiting int64
}

// HourNotice gives the notice of a complete hour: what was delivered and dropped in all, and of each type as JSON,
// {"TYPE":{"delivered":n,"dropped":n}}. Its episode is the hour.
func HourNotice(d HourDone, workspace, connector string) Notice {
	type sums struct {
		Delivered int64 `json:"delivered"`
		Dropped   int64 `json:"dropped"`
	}
	var all sums
	types := map[string]sums{}
	for _, c := range d.Counts {
		types[c.EventType] = sums{c.Delivered, c.Dropped}
		all.Delivered += c.Delivered
		all.Dropped += c.Dropped
	}
	body, err := json.Marshal(types)
	if err != nil {
		panic("control: a map of plain values did not encode: " + err.Error())
	}
	return Notice{Workspace: d.Workspace, Connector: d.Connector, Kind: NoticeHourComplete, Episode: d.Hour.String(), At: d.At,
		Params: map[string]string{
			"workspace": workspace, "connector": connector, "hour": d.Hour.Start().Format(time.RFC3339),
			"delivered": strconv.FormatInt(all.Delivered, 10), "dropped": strconv.FormatInt(all.Dropped, 10), "types": string(body),
		}}
}
