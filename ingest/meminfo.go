package ingest

import "bytes"

// /proc/meminfo: the memory of the machine by use, and /proc/PID/smaps_rollup: that
// of one process. Rows are "NAME:  N kB". Only those rows are pools that count
// memory which somebody asked for and has to give back, and no byte stands in two
// of them: neither what is free or serves as cache, nor limits, nor sums such as
// Slab. One exception is left: kernels that map their stacks count them in
// VmallocUsed as well as in KernelStack. What drivers take page by page is in no row.

var meminfoFile = poolFile{
	begins: func(line []byte) bool { return bytes.HasPrefix(line, memTotal) },
	row: func(line []byte) poolRow {
		return kilobyteRow(line, meminfoPools[:], "Slab", []string{"SReclaimable", "SUnreclaim"})
	},
	frame: func(d *decoder, name []byte) Frame { return Frame{Function: d.text(name), Module: "meminfo"} },
	check: "kB of Slab",
}

var smapsFile = poolFile{
	begins: func(line []byte) bool { return bytes.HasSuffix(line, rollupMark) },
	row: func(line []byte) poolRow {
		if bytes.HasSuffix(line, rollupMark) {
			return poolRow{kind: goodRow}
		}
		return kilobyteRow(line, smapsPools[:], "Rss", []string{"Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty"})
	},
	frame: func(d *decoder, name []byte) Frame { return Frame{Function: d.text(name), Module: "smaps_rollup"} },
	check: "kB of Rss",
}

var (
	memTotal   = []byte("MemTotal:")
	rollupMark = []byte("[rollup]")
)

var meminfoPools = [...]string{
	"AnonPages", "Shmem", "SReclaimable", "SUnreclaim", "KernelStack", "ShadowCallStack", "PageTables", "SecPageTables",
	"VmallocUsed", "Percpu", "Bounce", "WritebackTmp", "Zswap", "Hugetlb", "GPUActive",
}

// smapsPools leave out Private_Dirty: its pages are those of Anonymous.
var smapsPools = [...]string{"Anonymous", "Pss_Shmem", "Swap", "Private_Hugetlb"}

func sniffMeminfo(head []byte) string {
	if headLines(head, func(line []byte) bool {
		line = bytes.TrimSpace(line)
		return bytes.HasPrefix(line, memTotal) && bytes.HasSuffix(line, []byte(" kB"))
	}) {
		return ""
	}
	return `no line "MemTotal: N kB"`
}

func sniffSmaps(head []byte) string {
	if headLines(head, func(line []byte) bool { return bytes.HasSuffix(bytes.TrimSpace(line), rollupMark) }) {
		return ""
	}
	return `no line that ends in "[rollup]"`
}

// kilobyteRow reads "NAME:  N kB" or "NAME:  N"; the row total is the sum of the
// rows parts.
func kilobyteRow(line []byte, pools []string, total string, parts []string) poolRow {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 || len(name) > 40 || bytes.ContainsAny(name, " \t") {
		return poolRow{}
	}
	value, unit := cutField(value)
	n, ok := poolNumber(value)
	if !ok || n > maxNumber>>10 || len(unit) > 0 && string(unit) != "kB" {
		return poolRow{kind: badRow}
	}
	row := poolRow{kind: goodRow}
	if string(name) == total {
		row.told = n
	}
	if contains(parts, name) {
		row.sum = n
	}
	if len(unit) > 0 && contains(pools, name) {
		row.name, row.bytes, row.count = name, n<<10, 1
		if n == 0 {
			row.count = 0
		}
	}
	return row
}

func contains(names []string, name []byte) bool {
	for _, s := range names {
		if s == string(name) {
			return true
		}
	}
	return false
}
