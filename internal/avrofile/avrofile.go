// Package avrofile turns records into Avro object container files, byte for byte reproducible, at keys planned
// by one function; it also reads such files back, and changes single fields of records on their way.
//
// Its nouns: a Name says what a file holds and gives its Key; a block is a run of records, compressed once and
// free of anything that belongs to one file, so that several files may hold it; Meta is what a file says of
// itself in its metadata and in its header; Hash stands for the raw records that a file was made from; a
// Transform splices fields of a record.
//
// Guaranteed: the same records under the same Name, Meta and Encoder give the same bytes, on any machine. Not
// done here: deciding where a file ends (delivery), knowing what an event is (event), writing objects (bucket).
//
// Start reading at Name and Compressor; FORMAT.md §3 has the bytes.
package avrofile

// Encoder is the version of everything that decides the bytes of a file for given records: compressors and their
// settings, block borders, order and form of the header. A change of any of them, also by a new release of a
// compression library, needs the next number; the golden files of this package then change too.
const Encoder = 1
