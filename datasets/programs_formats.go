package datasets

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// Readers of formats of text, of records and of archives.
var formats = []Program{
	{Name: "cmark", Kind: "document", Packages: []string{"cmark"}, Binary: "/usr/bin/cmark", Prepare: cmark},
	{Name: "discount", Kind: "document", Packages: []string{"discount"}, Binary: "/usr/bin/markdown", Prepare: discount},
	{Name: "links", Kind: "document", Packages: []string{"links"}, Binary: "/usr/bin/links", Errors: true, Prepare: links},
	{Name: "unrtf", Kind: "document", Packages: []string{"unrtf"}, Binary: "/usr/bin/unrtf", Errors: true, Prepare: unrtf},
	{Name: "mutool", Kind: "document", Packages: []string{"mupdf-tools", "ghostscript"}, Binary: "/usr/bin/mutool", Prepare: mutool},
	{Name: "aspell", Kind: "document", Packages: []string{"aspell", "aspell-en"}, Binary: "/usr/bin/aspell", Prepare: aspell},
	{Name: "potrace", Kind: "document", Packages: []string{"potrace"}, Binary: "/usr/bin/potrace", Prepare: potrace},
	{Name: "recsel", Kind: "tool", Packages: []string{"recutils"}, Binary: "/usr/bin/recsel", Prepare: recsel},
	{Name: "remind", Kind: "tool", Packages: []string{"remind"}, Binary: "/usr/bin/remind", Errors: true, Prepare: remind},
	{Name: "ngspice", Kind: "tool", Packages: []string{"ngspice"}, Binary: "/usr/bin/ngspice", Prepare: ngspice},
	{Name: "xorriso", Kind: "tool", Packages: []string{"xorriso"}, Binary: "/usr/bin/xorriso", Errors: true, Prepare: xorriso},
	{Name: "bsdtar", Kind: "tool", Packages: []string{"libarchive-tools"}, Binary: "/usr/bin/bsdtar", Errors: true, Prepare: bsdtar},
}

// markdown writes a text with all sorts of marks.
func markdown(w *Work, b *bufio.Writer, blocks int) {
	for i := range blocks {
		switch w.Rand.IntN(8) {
		case 0:
			fmt.Fprintf(b, "%s %s\n\n", strings.Repeat("#", 1+w.Rand.IntN(5)), w.Words(4))
		case 1:
			for n := range w.Between(1, 9) {
				fmt.Fprintf(b, "%s%s %s\n", strings.Repeat("  ", w.Rand.IntN(3)), Pick(w, "*", "-", fmt.Sprintf("%d.", n+1)), w.Words(w.Between(1, 9)))
			}
		case 2:
			fmt.Fprintf(b, "> %s\n> > %s\n\n", w.Words(9), w.Words(5))
		case 3:
			fmt.Fprintf(b, "```%s\n%s\n```\n\n", w.Word(1, 4), w.Words(w.Between(5, 60)))
		case 4:
			fmt.Fprintf(b, "[%s][r%d] ![%s](/%s.png \"%s\") <http://%s.example>\n\n[r%d]: /%s '%s'\n\n", w.Words(2), i, w.Word(2, 8), w.Word(2, 8), w.Words(2), w.Word(2, 9), i, w.Word(3, 9), w.Words(2))
		case 5:
			fmt.Fprintf(b, "<div class=\"%s\">%s &amp; &copy;</div>\n\n", w.Word(2, 8), w.Words(5))
		default:
			fmt.Fprintf(b, "%s *%s* **%s _%s_** `%s` %s  \n%s\n\n", w.Words(w.Between(3, 40)), w.Words(2), w.Words(3), w.Word(2, 9), w.Word(1, 9), w.Words(w.Between(3, 40)), w.Words(6))
		}
	}
}

func cmark(w *Work) (Command, error) {
	w.Write("in.md", func(b *bufio.Writer) { markdown(w, b, w.Amount(300, 2500)) })
	return Command{Args: []string{"-t", Pick(w, "html", "commonmark"), Pick(w, "--smart", "--unsafe"), "in.md"}}, nil
}

func discount(w *Work) (Command, error) {
	w.Write("in.md", func(b *bufio.Writer) { markdown(w, b, w.Amount(500, 4000)) })
	return Command{Args: []string{"-f", Pick(w, "toc", "footnote,fencedcode"), "-o", "out.html", "in.md"}}, nil
}

func links(w *Work) (Command, error) {
	w.Write("in.html", func(b *bufio.Writer) {
		fmt.Fprintf(b, "<html><head><title>%s</title></head><body>\n", w.Words(3))
		for range w.Amount(300, 2500) {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 9)
				fmt.Fprintln(b, Pick(fault, "<"+word+" "+word+"=>", "&"+word+";&#x110000;", "</form></"+word+">", "<a href='"+word+"' href=", "<!-- "+word+" -- -", "<table><td rowspan=9999>"+word, "<meta http-equiv=refresh content=x"+word+">", "<select><table>", "<img src=>", "<base href="+word+":>"))
			}
			switch w.Rand.IntN(5) {
			case 0:
				fmt.Fprintf(b, "<a href=\"/%s.html\" name=%s>%s</a><img src=%s alt=\"%s\">\n", w.Word(2, 9), w.Word(2, 9), w.Words(3), w.Word(2, 5), w.Words(2))
			case 1:
				fmt.Fprintf(b, "<table border=%d><tr><th>%s<td>%s<tr><td colspan=2>%s</table>\n", w.Rand.IntN(3), w.Word(2, 9), w.Words(w.Between(1, 20)), w.Words(6))
			case 2:
				fmt.Fprintf(b, "<form action=/%s><input type=%s value=\"%s\"><textarea>%s</textarea></form>\n", w.Word(2, 9), Pick(w, "text", "checkbox", "submit", "hidden"), w.Words(2), w.Words(5))
			case 3:
				fmt.Fprintf(b, "<dl><dt>%s<dd>%s</dl><ol><li>%s<li>%s</ol><hr><center>%s</center>\n", w.Words(2), w.Words(9), w.Words(3), w.Words(3), w.Words(4))
			default:
				fmt.Fprintf(b, "<h%d>%s</h3><p>%s <font color=red>%s</font><pre>%s\n%s</pre>\n", 3, w.Words(3), w.Words(w.Between(5, 60)), w.Words(2), w.Words(3), w.Words(3))
			}
		}
		fmt.Fprint(b, "</body></html>\n")
	})
	return Command{Args: []string{"-dump", "-width", fmt.Sprint(w.Between(40, 200)), "in.html"}, Env: []string{"TERM=dumb"}}, nil
}

func unrtf(w *Work) (Command, error) {
	w.Write("in.rtf", func(b *bufio.Writer) {
		fmt.Fprintf(b, "{\\rtf1\\ansi{\\fonttbl{\\f0 Times;}{\\f1 %s;}}{\\colortbl;\\red%d\\green0\\blue9;}{\\info{\\author %s}{\\title %s}}\n", w.Word(3, 9), w.Rand.IntN(255), w.Words(2), w.Words(3))
		for range w.Amount(300, 2500) {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 9)
				fmt.Fprintln(b, Pick(fault, "\\"+word+"99999 ", "{\\*\\"+word+" "+word+"}", "\\'zz", "{\\field{\\*\\fldinst "+word+"}}", "{\\pict\\"+word+"}", "\\f77\\cf99 "))
			}
			fmt.Fprint(b, Pick(w, fmt.Sprintf("\\pard\\q%s\\fs%d %s\\par\n", Pick(w, "c", "r", "j"), w.Between(10, 60), w.Words(w.Between(3, 40))), "{\\b "+w.Words(2)+"{\\i "+w.Words(2)+"}\\ul "+w.Word(2, 9)+"}\n",
				"\\trowd\\cellx2000\\cellx4000\\intbl "+w.Words(2)+"\\cell "+w.Words(3)+"\\cell\\row\n", "{\\f1\\cf1 "+w.Words(3)+"\\line\\tab \\emdash \\'e9}\n", "{\\super "+w.Word(1, 3)+"}{\\footnote "+w.Words(5)+"}\n"))
		}
		fmt.Fprint(b, "}\n")
	})
	return Command{Args: []string{Pick(w, "--html", "--text", "--latex"), "in.rtf"}}, nil
}

func mutool(w *Work) (Command, error) {
	pdf(w, w.Amount(20, 100))
	return Command{Args: Pick(w, []string{"clean", "-gggg", "in.pdf", "out.pdf"}, []string{"draw", "-F", "stext", "-o", "out", "in.pdf"}, []string{"draw", "-F", "svg", "-o", "out%d.svg", "in.pdf"})}, nil
}

func aspell(w *Work) (Command, error) {
	w.Write("in.txt", func(b *bufio.Writer) {
		for range w.Amount(8, 60) {
			fmt.Fprintln(b, Pick(w, "the", "these", "we")+" "+w.Words(w.Between(1, 10)))
		}
	})
	return Command{Args: []string{"pipe", "--lang=en", "--sug-mode=" + Pick(w, "ultra", "fast", "normal"), "--run-together-limit=" + fmt.Sprint(w.Between(2, 8))}, Stdin: "in.txt"}, nil
}

func potrace(w *Work) (Command, error) {
	width, height := w.Between(150, 600), w.Amount(150, 600)
	w.Write("in.pbm", func(b *bufio.Writer) {
		fmt.Fprintf(b, "P1\n%d %d\n", width, height)
		on, change := 0, w.Between(3, 30)
		for range width * height {
			if w.Rand.IntN(change) == 0 {
				on = 1 - on
			}
			fmt.Fprintln(b, on)
		}
	})
	return Command{Args: []string{"-b", Pick(w, "svg", "eps", "dxf", "geojson"), "-t", fmt.Sprint(w.Rand.IntN(3)), "-O", fmt.Sprint(w.Rand.Float64()), "-z", Pick(w, "black", "majority", "minority"), "-o", "out", "in.pbm"}}, nil
}

func recsel(w *Work) (Command, error) {
	w.Write("in.rec", func(b *bufio.Writer) {
		fmt.Fprintf(b, "%%rec: Item\n%%mandatory: %s\n%%type: Count int\n\n", Pick(w, "Id", "Name"))
		for i := range w.Amount(150, 1000) {
			fmt.Fprintf(b, "Id: %d\nName: %s\nCount: %d\n", i, w.Words(2), w.Rand.IntN(999))
			for range w.Rand.IntN(5) {
				fmt.Fprintf(b, "%s: %s\n", Pick(w, "Tag", "Tag", "Note"), w.Words(w.Between(1, 12)))
			}
			fmt.Fprint(b, "\n")
		}
	})
	query := Pick(w, []string{"-e", fmt.Sprintf("Count > %d && #Tag >= 1", w.Rand.IntN(500))}, []string{"-e", "Name ~ '^" + w.Word(1, 1) + "' || Note ~ '" + w.Word(1, 2) + "'"}, []string{"-q", w.Word(1, 2)}, []string{"-G", "Tag"}, []string{"-e", fmt.Sprintf("(Count %% %d) = 1 ? 1 : 0", w.Between(2, 9))})
	return Command{Args: append(append([]string{"-t", "Item", "-S", Pick(w, "Name", "Count")}, query...), Pick(w, "-pName,Count,Tag", "-PName", "-RId,Note"), "in.rec")}, nil
}

func remind(w *Work) (Command, error) {
	w.Write("in.rem", func(b *bufio.Writer) {
		fmt.Fprintf(b, "SET width %d\nFSET twice(x) x * 2\nFSET label(s, n) s + \" \" + iif(n > 3, upper(s), s)\n", w.Rand.IntN(99))
		for i := range w.Amount(25, 200) {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 9)
				fmt.Fprintln(b, Pick(fault, "REM "+word, "SET x "+word+"(1)", "SET x 1 / 0", "REM 99 Feb MSG "+word, "IF \""+word, "INCLUDE /none/"+word, "SET x substr(1, \""+word+"\")", "MSG ["+word+"]", "OMIT "+word))
			}
			fmt.Fprintln(b, Pick(w, fmt.Sprintf("REM %d %s MSG %s [twice(%d)]", 1+w.Rand.IntN(28), Pick(w, "Jan", "Feb", "May", "Oct"), w.Words(3), i), fmt.Sprintf("REM %s +%d AT 10:%02d MSG %%\"%s%%\" %%b", Pick(w, "Mon", "Tue", "Fri"), w.Rand.IntN(9), w.Rand.IntN(60), w.Words(3)),
				fmt.Sprintf("SET v%d label(\"%s\", width + %d)", i%30, w.Words(2), w.Rand.IntN(9)), fmt.Sprintf("IF wkdaynum(trigdate()) > %d\nREM %d MSG [v%d] %s\nENDIF", w.Rand.IntN(6), 1+w.Rand.IntN(28), i%30, w.Word(2, 9)), "REM "+Pick(w, "Sat", "Sun")+" SATISFY day(trigdate()) > 7\nMSG [\""+w.Words(2)+"\" + strlen(\""+w.Word(1, 20)+"\")]"))
		}
	})
	return Command{Args: []string{"-q", Pick(w, "-s", "-c", "-p") + fmt.Sprint(w.Between(2, 12)), "in.rem", "1", "Jan", "2024"}, Exits: []int{1}}, nil
}

func ngspice(w *Work) (Command, error) {
	nodes := w.Amount(30, 250)
	w.Write("in.cir", func(b *bufio.Writer) {
		fmt.Fprintf(b, "%s\n.model d1 d(is=1e-14)\n.model n1 npn(bf=%d)\n.param rr=%d\n.subckt cell a b\nr1 a c {rr*2}\nc1 c b 1n\n.ends\nv1 n0 0 dc 5 ac 1 sin(0 1 %dk)\n", w.Words(2), w.Between(40, 300), w.Between(100, 9000), w.Between(1, 90))
		for i := range nodes {
			from := w.Rand.IntN(i + 1)
			fmt.Fprintf(b, Pick(w, "r%[1]d n%[2]d n%[3]d {rr+%[1]d}\n", "x%[1]d n%[2]d n%[3]d cell\n", "d%[1]d n%[2]d n%[3]d d1\n", "q%[1]d n%[3]d n%[2]d 0 n1\n", "c%[1]d n%[2]d n%[3]d 10p\n", "l%[1]d n%[2]d n%[3]d 1u\n"), i+10, from, i+1)
			fmt.Fprintf(b, "rg%d n%d 0 %dk\n", i, i+1, w.Between(1, 99))
		}
		fmt.Fprintf(b, "%s\n.print %s\n.end\n", Pick(w, ".tran 1u 20u\n.print tran v(n1)", ".ac dec 5 1 1meg\n.print ac v(n1)", ".dc v1 0 5 0.5\n.print dc v(n1)"), "op v(n0)")
	})
	return Command{Args: []string{"-b", "-n", "-o", "out.log", "in.cir"}, Exits: []int{1}}, nil
}

func xorriso(w *Work) (Command, error) {
	for i := range w.Amount(150, 900) {
		w.Text(fmt.Sprintf("in/%s/%s/%s%d.%s", w.Word(1, 1), w.Word(1, 2), w.Word(2, 30), i, w.Word(1, 3)), "%s", w.Words(w.Between(1, 50)))
	}
	args := []string{"in"}
	for i, fault := range w.Faults(60) {
		args = append(args, fmt.Sprintf("/%s%d=none/%s", fault.Word(2, 9), i, fault.Word(2, 20)))
	}
	return Command{Args: append(append([]string{"-no_rc", "-abort_on", "NEVER", "-as", "mkisofs", "-quiet", "-graft-points", "-o", "out.iso"}, Pick(w, []string{"-J"}, []string{"-r"}, []string{"-J", "-r"}, []string{"-iso-level", "3"})...), args...), Exits: []int{5, 32}}, nil
}

func bsdtar(w *Work) (Command, error) {
	for i := range w.Amount(500, 2500) {
		w.Text(fmt.Sprintf("in/%s/%s/%s%d", w.Word(1, 1), w.Word(1, 1), w.Word(1, 40), i), "%s", w.Words(w.Between(1, 50)))
	}
	args := []string{"in"}
	for i, fault := range w.Faults(300) {
		args = slices.Insert(args, 0, fmt.Sprintf("nowhere/%s%d", fault.Word(2, 20), i))
	}
	return Command{Args: append([]string{"-cf", "out", "--format=" + Pick(w, "pax", "ustar", "zip", "cpio", "mtree", "7zip", "iso9660"), "--exclude=*7", "-s", ",in/,x/,"}, args...), Exits: []int{1}}, nil
}
