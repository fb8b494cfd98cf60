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

const column = (name) => table.getChild(name);
const wide = (name, row) => (BigInt(column(name + "_high").get(row)) << 32n) | BigInt(column(name).get(row));
const [newFrames, newStacks, report] = ["frames", "stacks", "report"].map(column);
const frames = [];
let [stacks, seq, time, line, born] = [0, 0n, 0n, 0n, 0n];
for (let row = 0; row < table.numRows; row++) {
  for (const f of newFrames.get(row) ?? []) {
    frames.push([f.function, f.module, f.file, f.line, f.address, f.inlined].join("|"));
  }
  for (const stack of newStacks.get(row) ?? []) {
    out.push("stack " + ++stacks + ": " + [...stack].map((id) => frames[id]).join(" < "));
  }
  const [op, loss, flags, count, stack, scan, pid, tid, comm] =
    ["op", "loss", "flags", "count", "stack", "scan", "pid", "tid", "comm"].map((name) => column(name).get(row));
  if (op !== 0) {
    seq += column("seq_step").get(row);
    time += column("time_step").get(row);
    line += column("line_step").get(row);
    const age = wide("age", row);
    const block = op !== 2 ? born : age === 0n ? -1n : born - age;
    out.push([op, loss, flags, seq, time, block, wide("addr", row), wide("size", row), count, stack, scan, pid, tid, comm, line].join(" "));
    born += op !== 2 ? count : 0n;
  } else if (report.get(row) !== null) {
    out.push("report " + report.get(row));
  }
}
process.stdout.write(out.join("\n") + "\n");
