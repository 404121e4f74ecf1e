// Package control holds the control plane's nouns and rules: workspaces, API keys, connectors, destinations,
// positions, ledger rows, and the content of control records.
//
// It knows no SQL and no HTTP: store keeps these nouns, delivery moves by them, apply and the dashboard change
// them through the same actions. Values that came through Validate are trusted afterwards.
package control
