package fault

// Code is a kind of failure. The set is closed: a new one needs a row in Table and in docs/errors.md.
type Code string

// The codes.
const (
	Invalid              Code = "invalid"                // the input is wrong; repeating it cannot help
	Unauthorized         Code = "unauthorized"           // who is asking is unknown
	Forbidden            Code = "forbidden"              // who is asking may not
	NotFound             Code = "not_found"              // there is no such thing, or none that may be seen
	Conflict             Code = "conflict"               // it exists already, or contradicts what exists
	TooLarge             Code = "too_large"              // over a limit that is documented
	RateLimited          Code = "rate_limited"           // too many at once; repeat later
	Unavailable          Code = "unavailable"            // a resource is missing for now; repeating is safe
	Corrupt              Code = "corrupt"                // stored bytes are not what was written; nothing was changed
	UnsupportedMediaType Code = "unsupported_media_type" // the body is of a kind that is not read here
	Stale                Code = "stale"                  // what the call was based on has changed; load it again
	Internal             Code = "internal"               // a fault of the program
)

// Row says what a code becomes outside.
type Row struct {
	Code   Code
	HTTP   int
	Exit   int
	Means  string
	Status string // the exit code's meaning on the command line
}

// Table is the one mapping from codes to HTTP statuses and exit codes, in the order in which it is documented.
var Table = []Row{
	{Invalid, 400, 2, "the input is wrong; repeating it cannot help", "wrong arguments, settings or file"},
	{Unauthorized, 401, 4, "the key or the session is missing or unknown", "not signed in"},
	{Forbidden, 403, 4, "the key or the member may not do this", "not allowed"},
	{NotFound, 404, 5, "there is no such thing", "not found"},
	{Conflict, 409, 6, "it exists already, or contradicts what exists", "conflict"},
	{TooLarge, 413, 2, "over a documented limit", "over a limit"},
	{UnsupportedMediaType, 415, 2, "the body is of a kind that is not read here", "unknown format"},
	{RateLimited, 429, 7, "too many requests; repeat after Retry-After", "busy, try again"},
	{Unavailable, 503, 7, "something is missing for now; repeating is safe", "busy, try again"},
	{Stale, 412, 6, "what the call was based on has changed; load it again", "conflict"},
	{Corrupt, 500, 8, "stored bytes are damaged; nothing was changed", "damaged data"},
	{Internal, 500, 1, "a fault of the program", "failed"},
}

// HTTP is the status for code c.
func (c Code) HTTP() int { return c.row().HTTP }

// Exit is the exit code of the command line for code c.
func (c Code) Exit() int { return c.row().Exit }

func (c Code) row() Row {
	for _, r := range Table {
		if r.Code == c {
			return r
		}
	}
	return Table[len(Table)-1]
}
