// Package app builds every room from the settings, starts and stops them in order, and holds the commands of the
// program as values that cmd/millrace fills from flags and tests fill by hand.
//
// Each command is a struct with a method Run(ctx, *Console, …) error. It prints its result to Console.Out; an error
// carries a fault code, from which cmd takes the exit code. Nothing here knows a flag library.
// Start reading at Serve, then at system, which is the parts that it puts together.
package app
