package datasets

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// Shells and command-line tools.
var tools = []Program{
	{Name: "curl", Kind: "tool", Packages: []string{"curl"}, Binary: "/usr/bin/curl", Errors: true, Prepare: curl},
	{Name: "git", Kind: "tool", Packages: []string{"git"}, Binary: "/usr/bin/git", Prepare: git},
	{Name: "git-import", Kind: "tool", Packages: []string{"git"}, Binary: "/usr/bin/git", Prepare: gitImport},
	{Name: "zsh", Kind: "interpreter", Packages: []string{"zsh"}, Binary: "/usr/bin/zsh", Prepare: zsh},
	{Name: "dash", Kind: "interpreter", Packages: []string{"dash"}, Binary: "/usr/bin/dash", Prepare: dash},
	{Name: "sed", Kind: "tool", Packages: []string{"sed"}, Binary: "/usr/bin/sed", Prepare: sed},
	{Name: "diff", Kind: "tool", Packages: []string{"diffutils"}, Binary: "/usr/bin/diff", Prepare: diff},
	{Name: "tar", Kind: "tool", Packages: []string{"tar"}, Binary: "/usr/bin/tar", Errors: true, Prepare: tar},
	{Name: "vim", Kind: "tool", Packages: []string{"vim"}, Binary: "/usr/bin/vim.basic", Errors: true, Prepare: vim},
}

// curlFaults are curl's exit statuses for what is wrong with a request: protocol,
// URL, host, connection, length, file, redirects, encoding, answer.
var curlFaults = []int{1, 3, 6, 7, 18, 37, 47, 52, 56, 61}

// curl fetches pages from a server inside the collector.
func curl(w *Work) (Command, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Command{}, err
	}
	pages := make([]string, 20)
	for i := range pages {
		pages[i] = w.Words(w.Between(20, 4000))
	}
	w.Write("urls", func(b *bufio.Writer) {
		fmt.Fprint(b, "compressed\nlocation\nsilent\ncookie-jar=jar\n")
		for i := range w.Amount(60, 400) {
			if i > 0 {
				fmt.Fprint(b, "next\nsilent\ncompressed\nlocation\n")
			}
			fmt.Fprintf(b, "url=\"http://%s/%s/%d\"\noutput=out%d\nheader=\"X-%s: %s\"\n", l.Addr(), Pick(w, "page", "page", "move", "gone", "zip"), w.Rand.IntN(len(pages)), i%9, w.Word(3, 8), w.Word(3, 30))
			if w.Rand.IntN(5) == 0 {
				fmt.Fprintf(b, "data=\"%s\"\n", w.Words(w.Between(2, 60)))
			}
			if fault := w.Fault(); fault != nil {
				fmt.Fprintf(b, "next\nsilent\ncompressed\nlocation\nmax-redirs=3\noutput=bad%d\nurl=\"%s\"\n", i%9,
					Pick(fault, "http://127.0.0.1:1/"+fault.Word(1, 9), fmt.Sprintf("http://%s/torn/%d", l.Addr(), i), fmt.Sprintf("http://%s/loop/%d", l.Addr(), i),
						fault.Word(2, 5)+"://"+fault.Word(3, 9), "http://["+fault.Word(1, 5), "file:///none/"+fault.Word(2, 9), fmt.Sprintf("http://%s/nozip/%d", l.Addr(), i)))
			}
		}
	})
	handler := http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		var kind string
		var n int
		fmt.Sscanf(strings.ReplaceAll(in.URL.Path, "/", " "), "%s %d", &kind, &n)
		http.SetCookie(out, &http.Cookie{Name: fmt.Sprintf("c%d", n), Value: kind})
		switch kind {
		case "move":
			http.Redirect(out, in, fmt.Sprintf("/page/%d", n), http.StatusFound)
		case "loop":
			http.Redirect(out, in, in.URL.Path, http.StatusFound)
		case "nozip":
			out.Header().Set("Content-Encoding", "gzip")
			io.WriteString(out, "not compressed")
		case "torn":
			out.Header().Set("Content-Length", "9999")
			io.WriteString(out, "too short")
		case "gone":
			http.Error(out, "gone", http.StatusGone)
		case "zip":
			out.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(out)
			z.Write([]byte(pages[n]))
			z.Close()
		default:
			out.Write([]byte(pages[n]))
		}
	})
	serve := func(ctx context.Context, _ *os.Process) error {
		server := &http.Server{Handler: handler}
		go func() { <-ctx.Done(); server.Close() }()
		server.Serve(l)
		return nil
	}
	return Command{Args: []string{"-K", "urls"}, Exits: curlFaults, Drive: serve}, nil
}

// history writes a repository's history for git fast-import.
func history(w *Work, b *bufio.Writer, commits int) {
	files := w.Between(5, 60)
	for i := range commits {
		message := w.Words(w.Between(3, 30))
		fmt.Fprintf(b, "commit refs/heads/%s\nmark :%d\ncommitter %s <%s@example.com> %d +0000\ndata %d\n%s\n",
			Pick(w, "main", "main", "side"), i+1, w.Word(3, 7), w.Word(3, 7), 1500000000+i*1000, len(message), message)
		for range 1 + w.Rand.IntN(5) {
			text := strings.ReplaceAll(w.Words(w.Between(5, 300)), " e", "\ne")
			fmt.Fprintf(b, "M 100644 inline dir%d/f%d\ndata %d\n%s\n", w.Rand.IntN(9), w.Rand.IntN(files), len(text), text)
		}
		fmt.Fprintln(b)
	}
}

func git(w *Work) (Command, error) {
	w.Write("history", func(b *bufio.Writer) { history(w, b, w.Amount(60, 300)) })
	w.Run("git", "init", "-q", "-b", "main", "repo")
	w.Run("sh", "-c", "git -C repo fast-import --quiet < history")
	args := []string{"-C", "repo", "--no-pager", "log", "--all"}
	return Command{Args: append(args, Pick(w, []string{"-p", "-M"}, []string{"--stat", "--graph"}, []string{"--raw", "-c", "--topo-order"}, []string{"-p", "--word-diff"})...)}, nil
}

func gitImport(w *Work) (Command, error) {
	w.Write("history", func(b *bufio.Writer) { history(w, b, w.Amount(200, 1200)) })
	w.Run("git", "init", "-q", "-b", "main", "repo")
	return Command{Args: []string{"-C", "repo", "fast-import", "--quiet", fmt.Sprintf("--depth=%d", w.Between(5, 50))}, Stdin: "history"}, nil
}

func zsh(w *Work) (Command, error) {
	w.Text("work.zsh", `
RANDOM=%d; typeset -A count cache; typeset -a order log
handle() { local name=$1; local -a f; f=(${(s:,:)2}); count[$name]=$(( ${count[$name]:-0} + $#f )); REPLY="${(U)name}:${(j:-:)f}" }
for (( r = 0; r < %d; r++ )); do
  name=user$(( RANDOM %% %d )); body=
  for (( i = 0; i < 1 + RANDOM %% %d; i++ )); do body+="field$i=${name/user/u},"; done
  handle $name $body
  case $(( RANDOM %% 4 )) in
    0) cache[$name]=$body; order+=($name); if (( $#order > %d )); then unset "cache[$order[1]]"; shift order; fi ;;
    1) if [[ $body =~ '(field[0-9])=([a-z0-9]+)' ]]; then log+=($match[2]); fi; if (( $#log > 40 )) log=(${(o)log[20,-1]}) ;;
    2) print -v line -f '%%s:%%05d' $name $r; eval "x$(( r %% 9 ))='$line'" ;;
    3) gen() { print -r -- $1 > /dev/null }; gen $name; unfunction gen ;;
  esac
done
`, w.Rand.IntN(32000), w.Amount(800, 5000), w.Between(30, 300), w.Between(3, 12), w.Between(10, 60))
	return Command{Args: []string{"-f", "work.zsh"}}, nil
}

func dash(w *Work) (Command, error) {
	w.Text("work.sh", `
r=0; seen=
handle() { local name=$1 body=$2 IFS=,; set -- $body; eval "count_$name=\$(( \${count_$name:-0} + $# ))"; line="$name:$#:$body"; }
while [ $r -lt %d ]; do
  r=$(( r + 1 )); name=u$(( r * %d %% %d )); body=
  i=0; while [ $i -lt $(( r %% %d )) ]; do i=$(( i + 1 )); body="$body,f$i=${name#u}x"; done
  handle $name "$body"
  case $(( r %% 4 )) in
    0) eval "cache_$name=\$line"; seen="$seen $name" ;;
    1) eval "gen_$(( r %% 7 ))() { echo $name > /dev/null; }"; gen_$(( r %% 7 )) ;;
    2) unset cache_$name; trap "echo $r" USR1 ;;
    3) while [ ${#seen} -gt %d ]; do seen=${seen#* }; seen=${seen#* }; done ;;
  esac
done
`, w.Amount(4000, 20000), 7+2*w.Rand.IntN(40), w.Between(30, 400), w.Between(4, 20), w.Between(50, 900))
	return Command{Args: []string{"work.sh"}}, nil
}

func sed(w *Work) (Command, error) {
	w.Write("in.txt", func(b *bufio.Writer) {
		for range w.Amount(1500, 9000) {
			fmt.Fprintln(b, w.Words(w.Between(1, 25)))
		}
	})
	w.Write("work.sed", func(b *bufio.Writer) {
		for range w.Between(8, 60) {
			switch w.Rand.IntN(5) {
			case 0:
				fmt.Fprintf(b, "s/%s\\(.\\)/<\\1>/g\n", w.Word(1, 3))
			case 1:
				fmt.Fprintf(b, "/%s.*%s/{h;s/e/E/;G;s/\\n/-/;}\n", w.Word(1, 2), w.Word(1, 2))
			case 2:
				fmt.Fprintf(b, "%d,%da\\\n%s\n", w.Between(2, 900), w.Between(900, 1500), w.Words(3))
			case 3:
				fmt.Fprintf(b, "y/%s/%s/\n", "abc", Pick(w, "bca", "ABC"))
			default:
				fmt.Fprintf(b, "/^%s/w out%d\n", w.Word(1, 1), w.Rand.IntN(5))
			}
		}
	})
	return Command{Args: []string{"-f", "work.sed", "in.txt"}}, nil
}

func diff(w *Work) (Command, error) {
	for i := range w.Amount(300, 1500) {
		lines := strings.Fields(w.Words(w.Between(10, 200)))
		w.Write(fmt.Sprintf("a/f%d", i), func(b *bufio.Writer) { fmt.Fprintln(b, strings.Join(lines, "\n")) })
		w.Write(fmt.Sprintf("b/f%d", i), func(b *bufio.Writer) {
			for _, line := range lines {
				if w.Rand.IntN(12) == 0 {
					line = w.Word(1, 9)
				}
				fmt.Fprintln(b, line)
			}
		})
	}
	return Command{Args: append(Pick(w, []string{"-r"}, []string{"-ru"}, []string{"-ry"}, []string{"-rw"}), "a", "b"), Exits: []int{1}}, nil
}

func tar(w *Work) (Command, error) {
	for i := range w.Amount(800, 4000) {
		w.Text(fmt.Sprintf("in/%s/%s/f%d", w.Word(1, 1), w.Word(1, 1), i), "%s", w.Words(w.Between(1, 50)))
	}
	args := []string{"in"}
	for i, fault := range w.Faults(2000) {
		args = append(args, fmt.Sprintf("nowhere/%s%d", fault.Word(2, 20), i))
	}
	return Command{Exits: []int{2}, Args: append([]string{"-cf", "out.tar", "--sort=" + Pick(w, "name", "none"), "--transform=s,in/,x/,", "--exclude=f7*"}, args...)}, nil
}

func vim(w *Work) (Command, error) {
	w.Write("in.txt", func(b *bufio.Writer) {
		for range w.Between(200, 2000) {
			fmt.Fprintln(b, w.Words(w.Between(1, 15)))
		}
	})
	w.Write("work.vim", func(b *bufio.Writer) {
		fmt.Fprint(b, "let cache = {}\nlet order = []\n")
		for i := range w.Amount(100, 600) {
			if fault := w.Fault(); fault != nil {
				fmt.Fprintf(b, "try\n %s\ncatch\n let e = v:exception\nendtry\n", Pick(fault, "throw '"+fault.Words(3)+"'", "call Nowhere"+fault.Word(2, 9)+"()", "let x = g:"+fault.Word(2, 9),
					"let x = [1, 2, '"+fault.Word(2, 9)+"', {}", "execute 'echo '.string(order).']'", "call search('\\(x')", "source /none/"+fault.Word(2, 9), "let x = {'"+fault.Word(1, 5)+"': 1}.b", "call map([1, 2], 'nowhere(v:val)')", "1,9999d"))
			}
			switch w.Rand.IntN(6) {
			case 0:
				fmt.Fprintf(b, "silent! %%s/%s/%s/ge\n", w.Word(1, 3), w.Word(1, 4))
			case 1:
				fmt.Fprintf(b, "let cache['%s'] = map(range(%d), 'v:val . \"%s\"')\n", w.Word(1, 2), w.Between(2, 40), w.Word(1, 5))
			case 2:
				fmt.Fprintf(b, "normal! %dGyyp>>ddu\n", w.Between(1, 200))
			case 3:
				fmt.Fprintf(b, "call add(order, join(sort(split('%s')), ','))\nif len(order) > %d | call remove(order, 0) | endif\n", w.Words(6), w.Between(5, 50))
			case 4:
				fmt.Fprintf(b, "function! F%d(x)\n let y = a:x . '%s'\n return len(y) * 2\nendfunction\ncall F%d('a')\n", i%9, w.Word(2, 6), i%9)
			default:
				fmt.Fprintf(b, "silent! g/^%s/move $\nundo\n", w.Word(1, 2))
			}
		}
		fmt.Fprint(b, "qall!\n")
	})
	return Command{Args: []string{"-es", "-u", "NONE", "-i", "NONE", "-n", "-S", "work.vim", "in.txt"}, Stdin: "in.txt", Exits: []int{1}}, nil
}
