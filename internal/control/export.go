package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/event"
	"github.com/millrace/millrace/internal/fault"
)

// ExportID names an export: a UUID.
type ExportID string

// NewExportID makes an identity for what is asked for at t.
func NewExportID(t time.Time) ExportID { return ExportID(event.AppendUUID(nil, t)) }

// Export is a one-off extraction that somebody asked for, done by the process that owns the log.
//
// What it holds is decided when it is asked for: the filter as it was then, moments counted from CreatedAt, and the bucket.
// What was asked for and what came of it stays as a row; its files do not, see ExpiresAt.
type Export struct {
	Number    int64 // of its row: later ones have higher numbers; 0: new
	ID        ExportID
	Workspace uint32
	Kind      ExportKind
	Source    ExportSource
	Actor     Actor  // who asked, with their rights of then; what they may do is looked at again, see Plane.MayExport
	Key       KeyID  // the API key with which a program asked; empty: a member, or a schedule of theirs
	Subject   string // id of the segment, campaign, Canvas or report; empty: the workspace
	Title     string // what that was called then
	Spec      ExportSpec
	Place     ExportPlace // where its files go
	State     ExportState
	ExportProgress
	File      string        // of the installation's own store, which can be downloaded once it is done; empty: none
	Failure   *fault.Error  // as Job.Failure; while it waits or runs: why it is held up
	CreatedAt time.Time     // when it was asked for
	StartedAt time.Time     // when the making of what it holds began; zero: it waits
	DoneAt    time.Time     // when it was done, failed or was cancelled; zero: not yet
	ExpiresAt time.Time     // until when File can be downloaded; zero: not known yet
	ErasedAt  time.Time     // while it is open: when somebody of the workspace was last deleted on demand; then: when somebody was who may be in File. Zero: nobody was
	Call      ExportCalling // of Spec.Callback
}

// ExportProgress is how far an export is: all that is needed to go on after a crash.
type ExportProgress struct {
	People int64 // written in the parts that are finished; of a report its lines
	Total  int64 // estimated when it began; 0: not known
	Parts  int
	Bytes  int64 // packed, of the parts
	After  int64 // row of the last person of the last finished part
}

// Add goes on by a finished part.
func (x *ExportProgress) Add(p ExportPart) {
	x.People, x.Bytes, x.Parts, x.After = x.People+p.People, x.Bytes+p.Bytes, p.Number, p.Last
}

// ExportPlace is the bucket that an export's files go to. The zero value: the installation's own store alone.
type ExportPlace struct {
	Bucket   string
	Endpoint string // as DataExport
}

// Linked reports whether files go to a bucket of the workspace's.
func (p ExportPlace) Linked() bool { return p.Bucket != "" }

// ExportCalling is how far the call is by which a program is told that its export is done.
type ExportCalling struct {
	Next  time.Time // when it is tried; zero: no more
	Tries int
}

// ExportPart is a part that is finished: people of the rows above After, up to Last.
type ExportPart struct {
	Number int // from 1
	After  int64
	Last   int64
	People int64
	Bytes  int64  // packed
	Plain  int64  // unpacked
	Name   string // of its file
	Sum    uint32 // CRC-32 of the unpacked bytes, as an archive needs it
	Hash   []byte // SHA-256 of the file
	Who    []byte // a mark of each of its people: see AppendMark. ExportParts of room store leaves it out
}

// MarkPerson gives the mark by which files of exports are searched for a person: 32 bits of a hash. Two people of a million have
// the same one now and then: then the file of the one ends with the other.
func MarkPerson(id PersonID) uint32 {
	sum := uint32(2166136261) // FNV-1a, without a hash.Hash for each person
	for i := range len(id) {
		sum = (sum ^ uint32(id[i])) * 16777619
	}
	return sum
}

// AppendMark adds the mark of a person to those of a part.
func AppendMark(who []byte, id PersonID) []byte {
	return binary.LittleEndian.AppendUint32(who, MarkPerson(id))
}

// Marked reports whether one of marks is among those of a part.
func Marked(who []byte, marks map[uint32]bool) bool {
	for ; len(who) >= 4; who = who[4:] {
		if marks[binary.LittleEndian.Uint32(who)] {
			return true
		}
	}
	return false
}

// ExportKind is what an export gives.
type ExportKind string

// The kinds.
const (
	ExportSegmentUsers  ExportKind = "segment_users" // JSON lines
	ExportControlGroup  ExportKind = "control_group" // JSON lines of the global control group
	ExportUsersCSV      ExportKind = "users_csv"     // of a segment
	ExportEmailsCSV     ExportKind = "emails_csv"    // of a segment
	ExportCampaignUsers ExportKind = "campaign_users_csv"
	ExportCanvasUsers   ExportKind = "canvas_users_csv"
	ExportPerformance   ExportKind = "campaign_performance"
	ExportCustomEvents  ExportKind = "custom_events"
	ExportRevenue       ExportKind = "revenue"
	ExportEngagement    ExportKind = "engagement"
)

// exportKinds says of each kind what it is about.
var exportKinds = []struct {
	kind   ExportKind
	people bool // its files name people
	lines  bool // JSON lines, in parts that each are a file
	of     NameKind
}{
	{kind: ExportSegmentUsers, people: true, lines: true},
	{kind: ExportControlGroup, people: true, lines: true},
	{kind: ExportUsersCSV, people: true},
	{kind: ExportEmailsCSV, people: true},
	{kind: ExportCampaignUsers, people: true, of: NameCampaign},
	{kind: ExportCanvasUsers, people: true, of: NameCanvas},
	{kind: ExportPerformance, of: NameCampaign},
	{kind: ExportCustomEvents},
	{kind: ExportRevenue},
	{kind: ExportEngagement},
}

// ExportKinds are all kinds, in the order in which they are shown.
func ExportKinds() (all []ExportKind) {
	for _, k := range exportKinds {
		all = append(all, k.kind)
	}
	return all
}

// OfPeople reports whether files of this kind name people.
func (k ExportKind) OfPeople() bool {
	for _, x := range exportKinds {
		if x.kind == k {
			return x.people
		}
	}
	return false
}

// Lines reports whether files of this kind are JSON lines, in parts that are a file each.
func (k ExportKind) Lines() bool {
	for _, x := range exportKinds {
		if x.kind == k {
			return x.lines
		}
	}
	return false
}

// Counts reports whether files of this kind are tables of what was counted: Spec.Report says of what.
func (k ExportKind) Counts() bool {
	return k == ExportPerformance || k == ExportCustomEvents || k == ExportRevenue || k == ExportEngagement
}

// OfSegment reports whether Subject is a segment.
func (k ExportKind) OfSegment() bool {
	return k == ExportSegmentUsers || k == ExportUsersCSV || k == ExportEmailsCSV
}

// Life is how long the files of an export can be downloaded. Source: Braze, "S3 file bucket export" (4 hours) and
// "Engagement reports" (1 hour).
func (k ExportKind) Life() time.Duration {
	if k == ExportEngagement {
		return time.Hour
	}
	return 4 * time.Hour
}

// ExportSource is by what an export was asked for.
type ExportSource string

// The sources.
const (
	ExportByAPI       ExportSource = "api" // the vendor's calls
	ExportByDashboard ExportSource = "dashboard"
	ExportBySchedule  ExportSource = "schedule"
)

// ExportState is how far an export is.
type ExportState string

// The states. The last three are ends.
const (
	ExportWaiting   ExportState = "waiting"
	ExportRunning   ExportState = "running"
	ExportDone      ExportState = "done"
	ExportFailed    ExportState = "failed"
	ExportCancelled ExportState = "cancelled"
)

// Open reports whether it waits or runs.
func (s ExportState) Open() bool { return s == ExportWaiting || s == ExportRunning }

// ExportSpec is what somebody wants of an export, as far as its kind knows it. It is stored as JSON.
type ExportSpec struct {
	Filter     Filter     `json:"filter,omitzero"`      // the people, of kinds that are of people
	Fields     []string   `json:"fields,omitempty"`     // of JSON lines: names of the user export object
	Attributes []string   `json:"attributes,omitempty"` // chosen custom attributes
	Events     []string   `json:"events,omitempty"`     // chosen custom events
	Packing    string     `json:"packing,omitempty"`    // zip, gzip or none; empty: zip
	Delimiter  string     `json:"delimiter,omitempty"`  // of CSV: one of ExportDelimiters; empty: a comma
	BOM        bool       `json:"bom,omitempty"`        // of CSV: a byte order mark
	Callback   string     `json:"callback,omitempty"`   // the address that is called when it is done
	Report     ReportSpec `json:"report,omitzero"`      // of kinds that are of what was counted
	Language   string     `json:"language,omitempty"`   // of mails about it: one of Languages
	Recipients []string   `json:"recipients,omitempty"` // e-mail addresses of members who are told when it is done; none: who asked
}

// The most that a spec names. Source of the attributes: Braze, "Export user profiles by segment".
const (
	MaxExportAttributes = 500
	maxExportRecipients = 50
)

// ExportDelimiters are what may stand between the cells of a line.
func ExportDelimiters() []string { return []string{",", ";", ":", "|"} }

// ExportPackings are how files may be packed, in the order in which they are offered.
func ExportPackings() []string { return []string{"zip", "gzip", "none"} }

// Outdated reports whether somebody may be in an export of people who was deleted on demand: what is made may not be given any
// more, and what is being made begins anew, whoever of the workspace it was.
func (e Export) Outdated() bool {
	return e.Kind.OfPeople() && !e.ErasedAt.IsZero() && (!e.State.Open() || !e.ErasedAt.Before(cmp.Or(e.StartedAt, e.CreatedAt)))
}

// Downloadable reports whether the file of an export can be downloaded at now.
func (e Export) Downloadable(now time.Time) bool {
	return e.State == ExportDone && e.File != "" && e.ExpiresAt.After(now) && !e.Outdated()
}

// Prefix tells exports apart in a bucket: the vendor's object_prefix, the id and when it was asked for.
func (e Export) Prefix() string {
	return string(e.ID) + "-" + strconv.FormatInt(e.CreatedAt.Unix(), 10)
}

// Folder is where the files of an export stand in a linked bucket: no two exports' files have the same name there. Its
// first part is one of bucket.ExportFolders.
// Source: Braze, "Amazon S3" and "Export user profiles by segment"; FORMAT.md.
func (e Export) Folder() string {
	day := e.CreatedAt.UTC().Format(time.DateOnly)
	about := folderName(cmp.Or(e.Subject, string(e.Kind)))
	switch {
	case e.Kind == ExportEngagement:
		return fmt.Sprintf("engagement-report-export/%s/%s/", about, day)
	case e.Kind.Lines():
		return fmt.Sprintf("segment-export/%s/%s/%s/", about, day, e.Prefix())
	}
	return fmt.Sprintf("segment-export/%s/%s/", about, day)
}

// folderName gives an id as the name of a folder. Ids of campaigns come from events and may be any text: what could leave
// its folder, or mean something there, is a hash of itself.
func folderName(id string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_'
	}
	if len(id) <= 128 && strings.IndexFunc(id, func(r rune) bool { return !plain(r) }) < 0 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// ExportFilter chooses exports of a workspace. Fields that are empty choose all.
type ExportFilter struct {
	Kinds   []ExportKind
	States  []ExportState
	Source  ExportSource
	Subject string
	Member  MemberID // who asked
}
