package control_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/control"
	"github.com/millrace/millrace/internal/fault"
)

func TestFoldersInOneBucketAreNeitherEqualNorNested(t *testing.T) {
	for _, row := range []struct {
		name    string
		a, b    control.Placement
		overlap bool
	}{
		{"equal folders", at("", "b", "currents"), at("", "b", "currents"), true},
		{"one inside the other", at("", "b", "x"), at("", "b", "x/y"), true},
		{"deep inside the other", at("", "b", "x"), at("", "b", "x/y/z"), true},
		{"the root holds all", at("", "b", ""), at("", "b", "x"), true},
		{"two roots", at("", "b", ""), at("", "b", ""), true},
		{"side by side", at("", "b", "x"), at("", "b", "y"), false},
		{"same beginning of a name", at("", "b", "x"), at("", "b", "xy"), false},
		{"other bucket", at("", "b", "x"), at("", "c", "x"), false},
		{"case of letters counts in folders", at("", "b", "x"), at("", "b", "X"), false},
		{"other store", at("http://a:9000", "b", "x"), at("http://b:9000", "b", "x"), false},
		{"other port", at("http://a:9000", "b", "x"), at("http://a:9001", "b", "x"), false},
		{"same store spelt otherwise", at("http://A:80", "b", "x"), at("http://a/", "b", "x"), true},
		{"same store in other signs", at("http://ａ\u034f:80", "b", "x"), at("http://a/", "b", "x"), true},
		{"same store by both schemes and one port", at("https://a:9000", "b", "x"), at("http://a:9000", "b", "x"), true},
		{"a dot at the end of the host", at("https://a.", "b", "x"), at("https://a", "b", "x"), true},
		{"Amazon by its own address", at("", "b", "x"), at("https://s3.eu-west-1.amazonaws.com", "b", "x"), true},
		{"Amazon in two regions", at("https://s3.amazonaws.com", "b", "x"), at("https://s3.dualstack.us-west-2.amazonaws.com/", "b", "x"), true},
		{"a store that pretends", at("", "b", "x"), at("https://s3.amazonaws.com.example.com", "b", "x"), false},
	} {
		row.a.Connector, row.b.Connector = "a", "b"
		for _, pair := range [][2]control.Placement{{row.a, row.b}, {row.b, row.a}} {
			err := control.CheckPlacement(pair[0], []control.Placement{pair[1]})
			if (err != nil) != row.overlap || (err != nil && !fault.Is(err, fault.Conflict)) {
				t.Errorf("%s: %v", row.name, err)
			}
		}
		if err := control.CheckPlacement(row.a, []control.Placement{row.a}); err != nil {
			t.Errorf("%s: a connector is in its own way: %v", row.name, err)
		}
	}
}

func at(endpoint, bucket, folder string) control.Placement {
	return control.Placement{Endpoint: endpoint, Bucket: bucket, Folder: folder}
}

func TestAnOverlapNamesConnectorsOfTheSameWorkspaceOnly(t *testing.T) {
	mine := control.Placement{Connector: "a", Workspace: 1, Name: "mine", Bucket: "b", Folder: "x"}
	other := control.Placement{Connector: "b", Workspace: 1, Name: "warehouse", Bucket: "b", Folder: "x/secret-folder"}
	if err := control.CheckPlacement(mine, []control.Placement{other}); !strings.Contains(err.Error(), `"warehouse"`) || !strings.Contains(err.Error(), "secret-folder") {
		t.Errorf("own workspace: %v", err)
	}
	other.Workspace = 2
	if err := control.CheckPlacement(mine, []control.Placement{other}); strings.Contains(err.Error(), "warehouse") || strings.Contains(err.Error(), "secret-folder") {
		t.Errorf("another workspace: %v", err)
	}
}
