// Leakformer reads allocation logs, learns from clean ones what a program's
// memory normally does, and says which allocation sites and blocks of a new log
// are leaks.
//
//	leakformer ingest  [--format auto] [-o RUN.arrow|DIR] [--follow [--idle TIME]] LOG...
//	leakformer check   [--dump] [--format text|json] [--follow [--idle TIME]] LOG...
//	leakformer train   --clean LOG|DIR... [--labels LABELS.json] [--init MODEL] [--without-trees] -o MODEL
//	leakformer score   [--model MODEL] [--reference LOG...] [--format text|jsonl|...] [--all] [--cut SHARE] [--explain N] [--picture FILE.svg]
//	                   [--precision P | --max-false-alarms-per-run N | --threshold P] [--follow [--idle TIME] [--every TIME]] LOG...
//	leakformer eval    --labels LABELS.json [--model MODEL | --fold MODEL...] [--reference LOG...] [--blind] [--known] [--peer LOG...] [--peer-labels LABELS.json...]
//	                   [--cut SHARE...] [--every SHARE] [--snapshots N] [--robustness] [--programs] [--html PAGE] [--format text|summary|markdown|json] [LOG...]
//	leakformer gate    --baseline LOG|FINDINGS.jsonl [--suppressions FILE] LOG
//	leakformer report  [-o REPORT.html] LOG...
//	leakformer serve   [--addr HOST:PORT] [--token SECRET] [--labels FILE] [--store FILE] LOG|FINDINGS.jsonl...
//	leakformer record  [--tool heaptrack|valgrind|mtrace] [-o LOG] -- PROGRAM ARG... | --pid PID [--sample N]
//	leakformer monitor [--pid PID] [--system] [--kmemleak FILE] [--serve] [--webhook URL] [--alertmanager URL] [--remedies FILE] [LOG|FIFO|URL|DIR|-]...
//	leakformer check-growth --pid PID|--system
//	leakformer simulate [--size BYTES] [--count N] [--log FILE]
//	leakformer reset   [--state FILE]
//	leakformer tokenize [-o SEQUENCES.arrow] [--dump] LOG
//	leakformer model info [MODEL]
//	leakformer dataset collect [-o DIR] [PROGRAM...]
//	leakformer formats [--gdb-script]
//	leakformer version
//
// Wherever a log is named it may be raw, compressed, or a run in Arrow; "-" is
// standard input, a folder is the logs in it, and numbered files with one snapshot
// each are one series. Results go to standard output, messages to standard error. The
// exit status is 0 if all is well and no leak was found, 3 if leaks were found, 1
// after a failure and 2 if the command was not understood.
//
// # The flow
//
//	a log ─────────────┐
//	                   ▼
//	1 ingest           Source ── Event, Event, ... + call stacks + parse report
//	    │  └─ ingest/columnar: the same in an Arrow file, and back
//	    ▼
//	2 tokenize         Run ── the blocks of the log, by allocation site
//	    │              History ── what each site did in clean runs
//	    │              Scene ── a Run after so many events, beside Histories
//	    │              View ── one site of a Scene ──▶ Sequence of token ids
//	    ├─────────────────────────┐
//	    ▼                         ▼
//	3 train            4 detect ◀── Scorer ── model/torch, or a rule of eval
//	    │ frees forgotten         │
//	    │ in clean runs           ▼
//	    ▼              5 Finding, Finding, ... Summary ──▶ detect/report, detect/monitor,
//	  model.Checkpoint            │                        detect/dashboard (over detect/store)
//	  weights, trees, thresholds, ▼
//	  clean Histories  6 eval ◀── datasets.Labels: the truth
//	                      │
//	                      ▼
//	                   table: precision, recall, F1, ... beside simple rules
//
// The arrows are the imports, which imports_test.go holds to. What learns (train)
// and what judges (detect) know nothing of the network: it stands behind
// train.Learner and detect.Scorer, and model/torch alone needs libtorch. The boosted
// trees that judge logs of events beside it, and all other logs in its place, are a
// train.Second, in model.
package main
