import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.avro.Schema;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;

/** Reads Avro files with Apache Avro; takes and prints what read.py does. */
public class Read {
  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      String[] parts = line.split("\t");
      GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>();
      if (parts.length > 1) {
        reader.setExpected(new Schema.Parser().parse(new File(parts[1])));
      }
      try (DataFileReader<GenericRecord> file = new DataFileReader<>(new File(parts[0]), reader)) {
        for (GenericRecord record : file) {
          out.println("{\"file\":\"" + parts[0] + "\",\"record\":" + record + "}");
        }
      }
    }
    out.flush();
  }
}
