package storetest

func logs(run runner) {}
