package control

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

// ParamTo is the parameter of a notice that names, with commas, the e-mail addresses of the members who alone are mailed.
// It is nothing for programs.
const ParamTo = "to"

// ParamLanguage is the parameter of a notice that says in which language those of ParamTo are mailed who have chosen none:
// the one in which they asked.
const ParamLanguage = "language"

// ExportNotice gives what is told of an export that has ended, in the workspace of that name: that it can be downloaded, to
// whom it was made for; that it failed, likewise, or to administrators where a program asked. false: nobody is told, of
// what was cancelled, or was done for a program.
func ExportNotice(e Export, workspace string) (Notice, bool) {
	n := Notice{Workspace: e.Workspace, Kind: NoticeExportReady, Episode: string(e.ID), At: e.DoneAt, Params: map[string]string{
		"workspace": workspace, "export": string(e.ID), "export_kind": string(e.Kind), "name": e.Title, "by": e.Actor.Name}}
	to := e.Spec.Recipients
	if len(to) == 0 && e.Key == "" && e.Actor.Member != "" {
		to = []string{e.Actor.Name}
	}
	n.mailTo(to, e.Spec.Language)
	if e.Place.Linked() {
		n.Params["bucket"], n.Params["folder"] = e.Place.Bucket, e.Folder()
	}
	switch e.State {
	case ExportDone:
		n.Params["people"], n.Params["bytes"], n.Params["until"] = strconv.FormatInt(e.People, 10), strconv.FormatInt(e.Bytes, 10), e.ExpiresAt.UTC().Format(time.RFC3339)
		return n, len(to) > 0 && e.File != ""
	case ExportFailed:
		n.Kind = NoticeExportFailed
		n.say(e.Failure)
		return n, true
	}
	return n, false
}

// mailTo says whom to mail alone; nobody: those who are told of the workspace.
func (n Notice) mailTo(addresses []string, language string) {
	if len(addresses) == 0 {
		return
	}
	n.Params[ParamTo] = strings.Join(addresses, ",")
	if language != "" {
		n.Params[ParamLanguage] = language
	}
}

// say makes n say why something failed; nil: it is not known. Of what is ours alone the log has the sentence.
func (n Notice) say(f *fault.Error) {
	if f == nil {
		return
	}
	n.Params["message"], n.Params["hint"] = f.Message(), f.HintText()
	if b, err := json.Marshal(Said{f.Msg, f.Hint, f.Params}); err == nil && f.Msg.Key != "" {
		n.Params[ParamSaid] = string(b)
	}
	if f.Code == fault.Internal || f.Code == fault.Corrupt {
		n.Params["message"], n.Params["hint"] = "", ""
	}
}
