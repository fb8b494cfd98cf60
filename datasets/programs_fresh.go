package datasets

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Programs of kinds that are not among the others, for measuring: no model that
// comes along learns from them, and nothing was chosen by looking at them.
var fresh = []Program{
	{Name: "unbound", Kind: "server", Packages: []string{"unbound"}, Binary: "/usr/sbin/unbound", Errors: true, Prepare: unbound},
	{Name: "tinyproxy", Kind: "server", Packages: []string{"tinyproxy-bin"}, Binary: "/usr/bin/tinyproxy", Errors: true, Prepare: tinyproxy},
	{Name: "rsyslogd", Kind: "server", Packages: []string{"rsyslog"}, Binary: "/usr/sbin/rsyslogd", Errors: true, Prepare: rsyslogd},
	{Name: "ngircd", Kind: "server", Packages: []string{"ngircd"}, Binary: "/usr/sbin/ngircd", Errors: true, Prepare: ngircd},
	{Name: "ledger", Kind: "tool", Packages: []string{"ledger"}, Binary: "/usr/bin/ledger", Errors: true, Prepare: ledger},
	{Name: "nasm", Kind: "compiler", Packages: []string{"nasm"}, Binary: "/usr/bin/nasm", Prepare: nasm},
	{Name: "mandoc", Kind: "document", Packages: []string{"mandoc"}, Binary: "/usr/bin/mandoc", Errors: true, Prepare: mandoc},
	{Name: "lynx", Kind: "document", Packages: []string{"lynx"}, Binary: "/usr/bin/lynx", Errors: true, Prepare: lynx},
	{Name: "re2c", Kind: "compiler", Packages: []string{"re2c"}, Binary: "/usr/bin/re2c", Prepare: re2c},
	{Name: "swipl", Kind: "interpreter", Packages: []string{"swi-prolog-nox"}, Binary: "/usr/bin/swipl", Errors: true, Prepare: swipl},
}

// unbound asks a name server inside the collector for what it does not know.
func unbound(w *Work) (Command, error) {
	port := w.Port()
	upstream, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return Command{}, err
	}
	w.Write("unbound.conf", func(b *bufio.Writer) {
		fmt.Fprintf(b, "server:\n directory: \".\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n interface: 127.0.0.1@%d\n num-threads: 1\n do-daemonize: no\n use-syslog: no\n verbosity: 0\n", port)
		fmt.Fprintf(b, " module-config: \"iterator\"\n do-not-query-localhost: no\n msg-cache-size: %dk\n rrset-cache-size: %dk\n outgoing-range: 60\n num-queries-per-thread: 60\n local-zone: \"home.\" static\n", w.Between(16, 400), w.Between(16, 400))
		for i := range w.Between(20, 300) {
			fmt.Fprintf(b, " local-data: \"h%d.home. IN A 10.0.%d.%d\"\n local-data: \"h%d.home. IN TXT '%s'\"\n", i, i/250, i%250, i, w.Words(3))
		}
		fmt.Fprintf(b, "forward-zone:\n name: \".\"\n forward-addr: %s\nremote-control:\n control-enable: no\n", strings.Replace(upstream.LocalAddr().String(), ":", "@", 1))
	})
	r, n, names := rand.New(rand.NewPCG(w.Rand.Uint64(), 0)), w.Amount(600, 4000), w.Between(50, 2000)
	drive := func(ctx context.Context, program *os.Process) error {
		go answerNames(upstream)
		defer upstream.Close()
		c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range n {
			name := fmt.Sprintf("h%d.%s", r.IntN(names), Pick(&Work{Rand: r}, "home", "example.com", "a.b.example.org"))
			if fault := w.Fault(); fault != nil {
				name = Pick(fault, "fail", "none", "torn", "lame", "h.nowhere.home") + fault.Word(1, 20) + ".example.net"
			}
			if err := askName(ctx, c, uint16(i), name, Pick(&Work{Rand: r}, byte(1), 1, 16, 28)); err != nil {
				return err
			}
		}
		return program.Signal(syscall.SIGTERM)
	}
	return Command{Args: []string{"-d", "-p", "-c", "unbound.conf"}, Drive: drive}, nil
}

// askName sends a DNS query until it is answered: a server may be starting.
func askName(ctx context.Context, c net.Conn, id uint16, name string, kind byte) error {
	q := binary.BigEndian.AppendUint16(nil, id)
	q = append(q, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0) // recursion desired, one question
	for _, label := range strings.Split(name, ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	q = append(q, 0, 0, kind, 0, 1)
	answer := make([]byte, 4096)
	for ctx.Err() == nil {
		c.SetDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Write(q); err == nil {
			if n, err := c.Read(answer); err == nil && n > 2 && binary.BigEndian.Uint16(answer) == id {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the server does not answer")
}

// answerNames is a DNS server that knows an address for every name but those that
// begin with the name of a failure.
func answerNames(l net.PacketConn) {
	q := make([]byte, 4096)
	for {
		n, from, err := l.ReadFrom(q)
		if err != nil {
			return
		}
		if n < 18 {
			continue
		}
		a := append([]byte(nil), q[:n]...)
		a[2], a[3] = 0x84, 0x80 // an answer, authoritative
		end := 12
		for end < n && a[end] != 0 {
			end += int(a[end]) + 1
		}
		a = append(a[:min(end+5, n)], 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, a[13], a[14]) // the name of the question, A, 60 s
		a[7], a[9], a[11] = 1, 0, 0
		switch string(a[13:min(17, len(a))]) {
		case "fail":
			a[3] |= 2
		case "none":
			a[3] |= 3
		case "torn":
			a = a[:end]
		case "lame":
			a[2] &^= 4
			a[3] |= 5
		}
		l.WriteTo(a, from)
	}
}

// tinyproxy stands before a web server inside the collector.
func tinyproxy(w *Work) (Command, error) {
	port := w.Port()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Command{}, err
	}
	body := w.Words(w.Between(50, 3000))
	w.Text("tinyproxy.conf", "Port %d\nListen 127.0.0.1\nTimeout 1\nMaxClients 200\nLogFile \"tinyproxy.log\"\nLogLevel %s\nViaProxyName \"%s\"\nFilter \"filter\"\nFilterURLs On\nAddHeader \"X-%s\" \"%s\"\n",
		port, Pick(w, "Info", "Error"), w.Word(3, 9), w.Word(3, 9), w.Words(3))
	w.Write("filter", func(b *bufio.Writer) {
		for range w.Between(3, 60) {
			fmt.Fprintf(b, "%s[0-9]*%s\n", w.Word(3, 9), w.Word(3, 9))
		}
	})
	r, n := rand.New(rand.NewPCG(w.Rand.Uint64(), 0)), w.Amount(60, 300)
	paths := []string{"/a.html", "/b/" + w.Word(2, 9), "/c.json", "/" + w.Word(9, 40)}
	drive := func(ctx context.Context, program *os.Process) error {
		server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { io.WriteString(out, body) })}
		go server.Serve(l)
		defer server.Close()
		proxy := fmt.Sprintf("127.0.0.1:%d", port)
		first, err := dialWhenUp(ctx, proxy)
		if err != nil {
			return err
		}
		first.Close()
		client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}), DisableKeepAlives: true}}
		for range n {
			if fault := w.Fault(); fault != nil {
				webFault(ctx, fault, proxy)
			}
			if err := webRequest(ctx, client, r, fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port), paths, 0); err != nil {
				return err
			}
		}
		return program.Signal(syscall.SIGTERM)
	}
	return Command{Args: []string{"-d", "-c", "tinyproxy.conf"}, Drive: drive}, nil
}

func rsyslogd(w *Work) (Command, error) {
	port := w.Port()
	w.Write("rsyslog.conf", func(b *bufio.Writer) {
		fmt.Fprintf(b, "global(workDirectory=\"%s\")\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"%d\" address=\"127.0.0.1\")\n", w.Dir, port)
		fmt.Fprintf(b, "template(name=\"long\" type=\"list\") { property(name=\"timereported\" dateFormat=\"rfc3339\") constant(value=\" %s \") property(name=\"hostname\" caseConversion=\"upper\") property(name=\"msg\" regex.expression=\"[a-z]+\" regex.type=\"ERE\") constant(value=\"\\n\") }\n", w.Words(2))
		fmt.Fprintf(b, "template(name=\"each\" type=\"string\" string=\"%s/%%programname%%.log\")\n", w.Dir)
		for i := range w.Between(2, 12) {
			fmt.Fprintf(b, "if $msg contains \"%s\" and $syslogseverity <= %d then { set $!n%d = field($msg, 32, %d); action(type=\"omfile\" file=\"%s/out%d.log\" template=\"long\") }\n", w.Word(1, 3), w.Rand.IntN(8), i, 1+w.Rand.IntN(5), w.Dir, i)
		}
		fmt.Fprintf(b, "action(type=\"omfile\" dynaFile=\"each\" dynaFileCacheSize=\"%d\")\n", w.Between(3, 40))
	})
	r, perSession, hosts := rand.New(rand.NewPCG(w.Rand.Uint64(), 0)), w.Between(10, 100), w.Between(3, 40)
	words := strings.Fields(w.Words(200))
	one := func(_ int, c net.Conn) error {
		out := bufio.NewWriter(c)
		for n := range perSession {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(1, 30)
				fmt.Fprint(out, Pick(fault, "<999>"+word, "<>"+word, word, "<13>1 "+word, "<13>Nov 99 99:99:99 "+word+": x", "<34>1 2003-99-11T22:14:15Z h p - - [a b=\""+word, "<12>"+strings.Repeat(word+" ", 400), "<13>\x01\x02"+word), "\n")
			}
			text := strings.Join(words[r.IntN(150):][:1+r.IntN(40)], " ")
			fmt.Fprintf(out, "<%d>Nov %2d 10:%02d:%02d host%d prog%d[%d]: %s\n", r.IntN(190), 1+n%28, n%60, r.IntN(60), r.IntN(hosts), r.IntN(60), r.IntN(9999), text)
		}
		return out.Flush()
	}
	return Command{Args: []string{"-n", "-i", "rsyslogd.pid", "-f", "rsyslog.conf"}, Drive: driveTCP(fmt.Sprintf("127.0.0.1:%d", port), w.Amount(20, 120), syscall.SIGTERM, one)}, nil
}

func ngircd(w *Work) (Command, error) {
	port, channels, perSession := w.Port(), w.Between(5, 60), w.Between(10, 60)
	w.Text("ngircd.conf", "[Global]\nName = irc.example.net\nInfo = %s\nPorts = %d\nListen = 127.0.0.1\nServerUID = root\nServerGID = root\n[Limits]\nMaxConnectionsIP = 0\nMaxPenaltyTime = 0\nMaxJoins = 30\n[Options]\nIdent = no\nPAM = no\nDNS = no\nSyslogFacility = local1\n", w.Words(3), port)
	r := rand.New(rand.NewPCG(w.Rand.Uint64(), 0))
	words := strings.Fields(w.Words(200))
	one := func(i int, c net.Conn) error {
		out := bufio.NewWriter(c)
		fmt.Fprintf(out, "NICK n%d\r\nUSER u%d 0 * :%s\r\n", i%700, r.IntN(99), strings.Join(words[r.IntN(190):][:3], " "))
		for range perSession {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 20)
				fmt.Fprint(out, Pick(fault, word, "JOIN "+word, "PRIVMSG "+word+" :x", "MODE #"+word+" +zzz", "KICK #"+word+" x", "NICK "+word+"!", "WHOIS "+word, "OPER "+word+" x", "PART #"+word, "INVITE "+word+" #"+word, "TOPIC", "USER x", "SERVER "+word), "\r\n")
			}
			channel := fmt.Sprintf("#c%d", r.IntN(channels))
			fmt.Fprint(out, Pick(&Work{Rand: r}, "JOIN "+channel, "JOIN "+channel, "PRIVMSG "+channel+" :"+strings.Join(words[r.IntN(150):][:20], " "), "TOPIC "+channel+" :"+words[r.IntN(200)], "NAMES "+channel, "PART "+channel,
				"WHO "+channel, "LIST", fmt.Sprintf("MODE %s +b *!%s@*", channel, words[r.IntN(200)]), "WHOWAS n1", "AWAY :"+words[r.IntN(200)], "MODE "+channel+" +k "+words[r.IntN(200)], "PING x"), "\r\n")
		}
		if fault := w.Fault(); fault == nil { // else: vanish without a word
			fmt.Fprint(out, "QUIT :bye\r\n")
		}
		if err := out.Flush(); err != nil {
			return nil
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		io.Copy(io.Discard, c)
		return nil
	}
	return Command{Args: []string{"-n", "-f", "ngircd.conf"}, Drive: driveTCP(fmt.Sprintf("127.0.0.1:%d", port), w.Amount(40, 200), syscall.SIGTERM, one)}, nil
}

func ledger(w *Work) (Command, error) {
	accounts := make([]string, w.Between(8, 60))
	for i := range accounts {
		accounts[i] = Pick(w, "Expenses:", "Assets:", "Income:", "Liabilities:") + w.Word(3, 9) + ":" + w.Word(3, 9)
	}
	w.Write("in.ledger", func(b *bufio.Writer) {
		for _, a := range accounts {
			fmt.Fprintf(b, "account %s\n", a)
		}
		fmt.Fprint(b, "commodity $\ncommodity EUR\ntag note\n\n")
		for i := range w.Amount(200, 1500) {
			fmt.Fprintf(b, "%d/%02d/%02d %s\n    ; note: %s\n", 2015+i/300, 1+i/25%12, 1+i%25, w.Words(2), w.Word(2, 9))
			for range 1 + w.Rand.IntN(3) {
				fmt.Fprintf(b, "    %s   %s%d.%02d\n", Pick(w, accounts...), Pick(w, "$", "EUR "), w.Rand.IntN(900), w.Rand.IntN(99))
			}
			fmt.Fprintf(b, "    %s\n\n", Pick(w, accounts...))
			if fault := w.Fault(); fault != nil {
				word := fault.Word(3, 9)
				fmt.Fprintf(b, Pick(fault, "2015/01/01 %[1]s\n    Nowhere:%[1]s   $1\n    Assets:%[1]s\n\n", "check 2 == 3 and '%[1]s' =~ /x/\n\n", "2015/01/02 x\n    Assets:x   7 \"%[1]s\"\n    Assets:y\n\n", "2015/01/03 x\n    ; %[1]s: y\n    Assets:x   $2\n    Assets:y\n\n"), word)
			}
		}
	})
	report := Pick(w, []string{"balance"}, []string{"register", "--monthly"}, []string{"balance", "--flat", "--empty"}, []string{"print"}, []string{"stats"}, []string{"register", "--sort", "amount", "Expenses"})
	return Command{Args: append([]string{"--args-only", "--strict", "-f", "in.ledger"}, report...)}, nil
}

func nasm(w *Work) (Command, error) {
	w.Write("in.asm", func(b *bufio.Writer) {
		b.WriteString("bits 64\nsection .text\n%macro store 2\n%%again: mov rax, %1\n add rax, %2\n jnz %%again\n%endmacro\n%define twice(x) ((x) * 2)\n")
		n := w.Amount(300, 2000)
		for i := range n {
			switch w.Rand.IntN(6) {
			case 0:
				fmt.Fprintf(b, "l%d: mov rbx, [rax + %d * rcx + twice(%d)]\n call l%d\n", i, 1<<w.Rand.IntN(4), w.Rand.IntN(90), w.Rand.IntN(n))
			case 1:
				fmt.Fprintf(b, "l%d: store %d, %d\n", i, w.Rand.IntN(999), w.Rand.IntN(99))
			case 2:
				fmt.Fprintf(b, "l%d: db '%s', %d, 0\n align 8\n", i, w.Words(3), w.Rand.IntN(255))
			case 3:
				fmt.Fprintf(b, "%%assign v%d %d\n%%rep %d\n dd v%d\n%%assign v%d v%d + 1\n%%endrep\nl%d: nop\n", i%9, w.Rand.IntN(99), w.Between(1, 20), i%9, i%9, i%9, i)
			case 4:
				fmt.Fprintf(b, "%%push ctx%d\n%%define %%$x %d\nl%d: dd %%$x\n%%pop\n", i%5, w.Rand.IntN(99), i)
			default:
				fmt.Fprintf(b, "%%ifdef v%d\nl%d: vaddps xmm%d, xmm1, xmm2\n%%else\nl%d: lea rsi, [rel l%d]\n%%endif\n", i%9, i, w.Rand.IntN(9), i, w.Rand.IntN(n))
			}
		}
	})
	return Command{Args: append(Pick(w, []string{"-felf64", "-g"}, []string{"-felf64", "-l", "out.lst"}, []string{"-felf64"}, []string{"-E"}), "-o", "out.o", "in.asm"), Exits: []int{1}}, nil
}

func mandoc(w *Work) (Command, error) {
	args := []string{"-W", "all", "-T", Pick(w, "ascii", "html", "ps", "tree", "lint")} // not markdown: it fails an assertion now and then
	for i := range w.Between(3, 12) {
		name := fmt.Sprintf("in%d.1", i)
		w.Write(name, func(b *bufio.Writer) {
			fmt.Fprintf(b, ".Dd January 1, 2020\n.Dt %s 1\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n.Sh DESCRIPTION\n", strings.ToUpper(w.Word(3, 8)), w.Word(3, 8), w.Words(4))
			for range w.Amount(40, 300) {
				if fault := w.Fault(); fault != nil {
					word := fault.Word(2, 9)
					fmt.Fprintln(b, Pick(fault, "."+word, ".El", ".Bl -"+word, ".Sh", ".Xr", ".Fl \\["+word+"]", ".Ed", ".Bd -"+word+"\n.Ed", ".Op Fl "+word+" Oc", ".so /none/"+word, "\\*["+word+"]\\f["+word, ".Dd "+word, ".TS\n"+word+"\n.TE", ".EQ\n{ "+word+"\n.EN", ".ie "+word, ".nr"))
				}
				switch w.Rand.IntN(6) {
				case 0:
					fmt.Fprintf(b, ".Sh %s\n%s\n", strings.ToUpper(w.Words(2)), w.Words(20))
				case 1:
					fmt.Fprintf(b, ".Bl -%s\n", Pick(w, "bullet", "tag -width xxxx", "enum", "dash"))
					for range 1 + w.Rand.IntN(5) {
						fmt.Fprintf(b, ".It %s\n%s\n", Pick(w, "", "Fl "+w.Word(1, 2)), w.Words(8))
					}
					fmt.Fprint(b, ".El\n")
				case 2:
					fmt.Fprintf(b, ".Op Fl %s Ar %s\n.Xr %s 1 ,\n.Em %s\n", w.Word(1, 1), w.Word(2, 7), w.Word(2, 8), w.Words(2))
				case 3:
					fmt.Fprintf(b, ".Bd -literal -offset indent\n%s\n%s\n.Ed\n", w.Words(6), w.Words(6))
				case 4:
					fmt.Fprintf(b, ".ds s%d %s\n.Pp\n\\*(s%d \\fB%s\\fR\n", i%10, w.Words(2), i%10, w.Word(2, 9))
				default:
					fmt.Fprintf(b, ".Pp\n%s.\n", w.Words(w.Between(10, 60)))
				}
			}
		})
		args = append(args, name)
	}
	return Command{Args: args, Exits: []int{1, 2, 3, 4, 5}}, nil
}

func lynx(w *Work) (Command, error) {
	w.Write("in.html", func(b *bufio.Writer) {
		fmt.Fprintf(b, "<html><head><title>%s</title></head><body>\n", w.Words(3))
		for range w.Amount(300, 2500) {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 9)
				fmt.Fprintln(b, Pick(fault, "<"+word+">", "&"+word+";", "</"+word+">", "<p "+word+"=\"", "<a href='"+word+"' href=>", "<!-- -- "+word, "<input type="+word+">", "&#99999999;", "</table></form>", "<select><select>", "<td>"+word, "<a name="+word+"><a>"))
			}
			switch w.Rand.IntN(6) {
			case 0:
				fmt.Fprintf(b, "<a href=\"%s/%s.html?%s=%d\">%s</a>\n", w.Word(2, 9), w.Word(2, 9), w.Word(1, 4), w.Rand.IntN(99), w.Words(3))
			case 1:
				fmt.Fprintf(b, "<table><tr><td>%s</td><td>%s</td></tr><tr><td colspan=2>%s</td></tr></table>\n", w.Words(2), w.Words(4), w.Words(6))
			case 2:
				fmt.Fprintf(b, "<form action=\"%s\"><input name=%s value=\"%s\"><select name=%s><option>%s<option selected>%s</select><textarea>%s</textarea></form>\n", w.Word(2, 9), w.Word(2, 5), w.Words(2), w.Word(2, 5), w.Word(2, 8), w.Word(2, 8), w.Words(5))
			case 3:
				fmt.Fprintf(b, "<ul><li>%s<li><b>%s</b></ul><h%d>%s</h%d>\n", w.Words(5), w.Words(2), 2, w.Words(4), 2)
			default:
				fmt.Fprintf(b, "<p class=%s>%s &amp; <i>%s</i><br>%s</p>\n", w.Word(2, 6), w.Words(w.Between(5, 40)), w.Words(2), w.Words(4))
			}
		}
		fmt.Fprint(b, "</body></html>\n")
	})
	return Command{Args: []string{"-dump", fmt.Sprintf("-width=%d", w.Between(40, 200)), "-force_html", Pick(w, "-nolist", "-list_inline", "-hiddenlinks=merge"), "in.html"}, Env: []string{"TERM=dumb"}}, nil
}

func re2c(w *Work) (Command, error) {
	w.Write("in.re", func(b *bufio.Writer) {
		for i := range w.Amount(6, 40) {
			fmt.Fprintf(b, "int f%d(const char *s) { const char *YYCURSOR = s, *YYMARKER;\n/*!re2c\nre2c:define:YYCTYPE = char; re2c:yyfill:enable = 0;\nd%d = [0-9]; w%d = [a-zA-Z_];\n", i, i, i)
			for n := range w.Between(4, 25) {
				fmt.Fprintf(b, "%s { return %d; }\n", Pick(w, fmt.Sprintf("\"%s\"", w.Word(2, 12)), fmt.Sprintf("w%d (w%d|d%d)* \"%s\"", i, i, i, w.Word(1, 3)), fmt.Sprintf("d%d{%d,%d}", i, w.Between(1, 4), w.Between(4, 9)), "[a-f"+w.Word(1, 3)+"]+ '"+w.Word(1, 4)+"'", "\"/*\" [^*]* \""+w.Word(1, 2)+"\""), n)
			}
			fmt.Fprint(b, "* { return -1; }\n*/\n}\n")
		}
	})
	return Command{Args: append(Pick(w, []string{}, []string{"-b"}, []string{"-s", "--no-debug-info"}, []string{"-c"}), "-o", "out.c", "in.re")}, nil
}

func swipl(w *Work) (Command, error) {
	w.Text("work.pl", `
:- dynamic seen/2, cache/2.
session(N, Fields, Bound, Faults) :-
    random_between(1, Bound, U), atomic_list_concat([user, U], Name),
    findall(F, (between(1, Fields, I), random_between(1, 60, L), length(Xs, L), maplist(=(0'x), Xs), atom_codes(X, Xs), atomic_list_concat([f, I, '=', X], F)), Fs),
    atomic_list_concat(Fs, '&', Body), split_string(Body, "&", "", Parts), length(Parts, Count),
    ( retract(seen(Name, C)) -> true ; C = 0 ), C1 is C + Count, assertz(seen(Name, C1)),
    retractall(cache(Name, _)), assertz(cache(Name, Body)),
    format(atom(Line), 's(~q, ~d, ~q)', [Name, N, Count]), atom_to_term(Line, _, _) -> fail_sometimes(Faults, N) ; fail_sometimes(Faults, N).
fail_sometimes(Faults, N) :- random(R), R < Faults, !,
    forall(member(G, [X is foo + N, atom_length(_, _), nowhere(N), throw(request(N)), number_codes(_, "x1"), term_to_atom(_, 'f(('), open('/none', read, _), arg(x, f(X), _)]), catch(G, E, (message_to_codes_(E, _)))).
fail_sometimes(_, _).
message_to_codes_(E, A) :- format(atom(A), '~p', [E]).
main :- set_random(seed(%d)), forall(between(1, %d, N), ignore(session(N, %d, %d, %g))), aggregate_all(count, seen(_, _), Users), print(Users), nl.
`, w.Rand.IntN(1<<30), w.Amount(150, 1200), w.Between(3, 12), w.Between(20, 300), w.FaultRate())
	return Command{Args: []string{"-q", "--no-threads", "-g", "main", "-t", "halt", "work.pl"}}, nil
}
