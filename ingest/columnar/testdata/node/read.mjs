// Prints a run as text: one line for each call stack, each event and the report,
// as node_test.go does. Usage: node read.mjs file|stream RUN.arrow
import { readFileSync } from "node:fs";
import { compressionRegistry, CompressionType, RecordBatchReader, Table } from "apache-arrow";
import { decompress } from "fzstd";

// apache-arrow leaves the choice of a decompressor to its user, and wants what
// comes out of it aligned; fzstd's is a view of a larger buffer.
compressionRegistry.set(CompressionType.ZSTD, { decode: (data) => decompress(data).slice() });

const [form, path] = process.argv.slice(2);
let data = readFileSync(path);
if (form === "stream") {
  data = data.subarray(8); // behind the magic stands a stream
}
const table = new Table([...RecordBatchReader.from(data)]);

const out = [];
out.push("run " + table.schema.metadata.get("leakformer.run") + " of " + table.schema.metadata.get("leakformer.log"));
for (const field of table.schema.fields) {
  out.push(["field", field.name, field.nullable, field.metadata.get("unit") ?? "-"].join(" "));
}

const columns = ["op", "loss", "flags", "seq", "time", "block", "addr", "size", "count",
  "stack", "scan", "pid", "tid", "comm", "line"].map((name) => table.getChild(name));
const [newFrames, newStacks, report] = ["frames", "stacks", "report"].map((name) => table.getChild(name));
const frames = [];
let stacks = 0;
for (let row = 0; row < table.numRows; row++) {
  for (const f of newFrames.get(row) ?? []) {
    frames.push([f.function, f.module, f.file, f.line, f.address, f.inlined].join("|"));
  }
  for (const stack of newStacks.get(row) ?? []) {
    out.push("stack " + ++stacks + ": " + [...stack].map((id) => frames[id]).join(" < "));
  }
  if (columns[0].get(row) !== 0) {
    out.push(columns.map((column) => column.get(row)).join(" "));
  } else if (report.get(row) !== null) {
    out.push("report " + report.get(row));
  }
}
process.stdout.write(out.join("\n") + "\n");
