package storetest

func ledger(run runner) {}
