package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
)

// Launch a connector and follow it to the files of its first hour.
func Example() {
	if err := launchAndFollow(context.Background()); err != nil {
		log.Print(err)
	}
}

func launchAndFollow(ctx context.Context) error {
	c := client.New(os.Getenv("MILLRACE_URL"), os.Getenv("MILLRACE_TOKEN"))
	check, err := c.LaunchConnector(ctx, "acme", client.ConnectorEdit{
		Name:         new("warehouse"),
		ContactEmail: new("data@acme.example"),
		Events:       &[]string{"all"},
		Destination: &client.DestinationEdit{
			Bucket:          new("acme-currents"),
			AccessKeyID:     new("AKIA…"),
			SecretAccessKey: new(os.Getenv("ACME_S3_SECRET")),
		},
	})
	if err != nil {
		return err // a *client.Error: code, message, hint, fields
	}
	check, err = c.AwaitCheck(ctx, check.ID, func(seen client.Check) {
		log.Printf("%s: %d steps", seen.State, len(seen.Steps))
	})
	if err != nil {
		return err
	}
	hour := time.Now().Truncate(time.Hour)
	if _, err := c.AwaitHour(ctx, "acme", check.Connector, hour); err != nil {
		return err
	}
	for file, err := range c.ListFiles(ctx, "acme", check.Connector, client.FileFilter{LedgerFilter: client.LedgerFilter{From: hour}}) {
		if err != nil {
			return err
		}
		fmt.Println(file.Key, file.Events)
	}
	return nil
}

// Change what somebody else may be changing, too.
func ExampleClient_UpdateConnector() {
	ctx := context.Background()
	c := client.New("https://millrace.example", os.Getenv("MILLRACE_TOKEN"))
	had, err := c.GetConnector(ctx, "acme", "5f0c…")
	if err != nil {
		log.Print(err)
		return
	}
	_, check, err := c.UpdateConnector(ctx, "acme", had.ID, client.ConnectorEdit{Events: &[]string{"engagement"}}, had.ETag)
	if client.HasCode(err, "stale") {
		log.Print(err) // says who changed what when
		return
	}
	if err == nil && check != nil { // another bucket, folder or access: the change waits for its check
		_, err = c.AwaitCheck(ctx, check.ID, nil)
	}
	if err != nil {
		log.Print(err)
	}
}

// The guide shows the code that is compiled here.
func TestTheGuideShowsTheExample(t *testing.T) {
	guide, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```go\n")
	shown, _, ok := strings.Cut(rest, "```")
	_, rest, _ = strings.Cut(string(source), "func launchAndFollow(ctx context.Context) error {\n")
	compiled, _, found := strings.Cut(rest, "\treturn nil\n}\n")
	if !ok || !found || shown != strings.ReplaceAll("\n"+compiled, "\n\t", "\n")[1:] {
		t.Errorf("docs/api.md shows\n%s\nand what compiles is\n%s", shown, compiled)
	}
}
