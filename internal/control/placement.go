package control

import (
	"cmp"
	"net"
	"net/url"
	"strings"

	"github.com/millrace/millrace/internal/bucket"
	"github.com/millrace/millrace/internal/fault"
)

// Placement is where a connector's newest version puts its files, or a data export does, as far as others must keep
// clear of it.
type Placement struct {
	Connector ConnectorID
	Exports   bool // a data export: it has folders of its own, which no connector's may be, see bucket.ExportFolders
	Workspace uint32
	Name      string
	Endpoint  string
	Bucket    string
	Folder    string
}

// PlacementOf gives c's placement.
func PlacementOf(c Config) Placement {
	return Placement{
		Connector: c.Connector, Workspace: c.Workspace, Name: c.Name,
		Endpoint: c.Destination.Endpoint, Bucket: c.Destination.Bucket, Folder: c.Destination.Folder,
	}
}

// PlacementOfExport gives the placement of a data export. Several may share a bucket: their files have names that are
// given once.
func PlacementOfExport(d DataExport) Placement {
	return Placement{Exports: true, Workspace: d.Workspace, Endpoint: d.Endpoint, Bucket: d.Bucket}
}

// CheckPlacement refuses p if its folder equals, holds or lies in that of another connector in the same bucket.
// The root of a bucket holds every folder, so it is free only where nobody else is, data exports included.
//
// Errors: conflict, told of the folder or, for a data export, the bucket; it names the other connector, unless that one
// belongs to another workspace.
func CheckPlacement(p Placement, others []Placement) error {
	for _, o := range others {
		if p.Exports != o.Exports && p.overlaps(o) {
			return rootTaken(p, o)
		}
		if p.Exports || o.Exports || o.Connector == p.Connector || !p.overlaps(o) {
			continue
		}
		e := &fault.Error{Code: fault.Conflict, Params: fault.Params{"bucket": p.Bucket, "folder": cmp.Or(p.Folder, "/")}, Msg: overlapping(p, o)}
		if o.Workspace == p.Workspace {
			e.Params["connector"], e.Params["other"] = o.Name, cmp.Or(o.Folder, "/")
		}
		e.Hint = fault.Message{Key: "control.folder_overlap_hint", Text: "Choose a folder beside it, or another bucket."}
		return e.At("destination.folder", "conflict")
	}
	return nil
}

// overlapping says how p is in the way of o: of another workspace, neither its folder nor its name.
func overlapping(p, o Placement) fault.Message {
	own := o.Workspace == p.Workspace
	switch {
	case p.Folder == o.Folder && own:
		return fault.Message{Key: "control.folder_taken", Text: `The Current "{connector}" writes to the folder "{folder}" of the bucket {bucket} already.`}
	case p.Folder == o.Folder:
		return fault.Message{Key: "control.folder_taken_foreign", Text: `The folder "{folder}" of the bucket {bucket} is in use.`}
	case within(p.Folder, o.Folder) && own:
		return fault.Message{Key: "control.folder_inside", Text: `The folder "{folder}" lies in "{other}", where the Current "{connector}" writes.`}
	case within(p.Folder, o.Folder):
		return fault.Message{Key: "control.folder_inside_foreign", Text: `The folder "{folder}" of the bucket {bucket} lies in one that is in use.`}
	case own:
		return fault.Message{Key: "control.folder_around", Text: `In the folder "{folder}" lies "{other}", where the Current "{connector}" writes.`}
	default:
		return fault.Message{Key: "control.folder_around_foreign", Text: `In the folder "{folder}" of the bucket {bucket} lies one that is in use.`}
	}
}

// rootTaken is the error of a data export and a connector of which one wants the whole bucket.
func rootTaken(p, o Placement) error {
	e := &fault.Error{Code: fault.Conflict, Params: fault.Params{"bucket": p.Bucket}}
	switch {
	case !p.Exports:
		e.Msg = fault.Message{Key: "control.root_has_exports", Text: "The root of the bucket {bucket} holds the folders of a data export."}
		e.Hint = fault.Message{Key: "control.root_has_exports_hint", Text: "Give the Current a folder, or another bucket."}
	case o.Workspace == p.Workspace:
		e.Params["connector"] = o.Name
		e.Msg = fault.Message{Key: "control.exports_in_root", Text: `The Current "{connector}" has the whole bucket {bucket} for itself.`}
	default:
		e.Msg = fault.Message{Key: "control.exports_in_root_foreign", Text: "The whole bucket {bucket} is in use."}
	}
	if p.Exports {
		e.Hint = fault.Message{Key: "control.exports_in_root_hint", Text: "Choose another bucket for data exports."}
		return e.At("bucket", "conflict")
	}
	return e.At("destination.folder", "conflict")
}

func (p Placement) overlaps(o Placement) bool {
	if p.Bucket != o.Bucket || storeOf(p.Endpoint) != storeOf(o.Endpoint) {
		return false
	}
	if p.Exports != o.Exports {
		return p.Folder == "" && o.Folder == "" // elsewhere ParseFolder keeps them apart
	}
	return (within(p.Folder, o.Folder) || within(o.Folder, p.Folder))
}

// within reports whether folder inner equals outer or lies below it.
func within(inner, outer string) bool {
	return outer == "" || inner == outer || strings.HasPrefix(inner, outer+"/")
}

// storeOf gives an endpoint in the one form in which two spellings of the same store are equal. All of Amazon S3
// is one store, because bucket names are unique across its regions; it gives "".
func storeOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return strings.ToLower(endpoint)
	}
	host, port := connectedTo(u)
	if (strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-")) &&
		(strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")) {
		return ""
	}
	return net.JoinHostPort(host, port) + strings.TrimSuffix(u.EscapedPath(), "/")
}

// connectedTo gives host and port of an address in one form, however they are written.
func connectedTo(u *url.URL) (host, port string) {
	host, port = strings.TrimSuffix(strings.ToLower(bucket.AskedFor(u.Hostname())), "."), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return host, port
}
