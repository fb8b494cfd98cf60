package datasets

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// Image and document tools.
var documents = []Program{
	{Name: "dot", Kind: "document", Packages: []string{"graphviz"}, Binary: "/usr/bin/dot", Prepare: dot},
	{Name: "xsltproc", Kind: "document", Packages: []string{"xsltproc"}, Binary: "/usr/bin/xsltproc", Errors: true, Prepare: xsltproc},
	{Name: "gs", Kind: "document", Packages: []string{"ghostscript"}, Binary: "/usr/bin/gs", Prepare: ghostscript},
	{Name: "pdftotext", Kind: "document", Packages: []string{"poppler-utils", "ghostscript"}, Binary: "/usr/bin/pdftotext", Prepare: pdftotext},
	{Name: "qpdf", Kind: "document", Packages: []string{"qpdf", "ghostscript"}, Binary: "/usr/bin/qpdf", Prepare: qpdf},
	{Name: "rsvg-convert", Kind: "document", Packages: []string{"librsvg2-bin"}, Binary: "/usr/bin/rsvg-convert", Prepare: rsvg},
	{Name: "convert", Kind: "document", Packages: []string{"imagemagick"}, Binary: "/usr/bin/convert", Prepare: convert},
	{Name: "gnuplot", Kind: "document", Packages: []string{"gnuplot-nox"}, Binary: "/usr/bin/gnuplot", Prepare: gnuplot},
	{Name: "troff", Kind: "document", Packages: []string{"groff"}, Binary: "/usr/bin/troff", Errors: true, Prepare: troff},
	{Name: "tidy", Kind: "document", Packages: []string{"tidy"}, Binary: "/usr/bin/tidy", Errors: true, Prepare: tidy},
	{Name: "hunspell", Kind: "document", Packages: []string{"hunspell", "hunspell-en-us"}, Binary: "/usr/bin/hunspell", Prepare: hunspell},
	{Name: "doxygen", Kind: "document", Packages: []string{"doxygen"}, Binary: "/usr/bin/doxygen", Prepare: doxygen},
}

func dot(w *Work) (Command, error) {
	w.Write("in.dot", func(b *bufio.Writer) {
		for g := range w.Amount(3, 15) {
			nodes := w.Between(8, 40)
			fmt.Fprintf(b, "digraph g%d {\nnode [shape=%s];\n", g, Pick(w, "box", "ellipse", "record"))
			for i := range nodes {
				fmt.Fprintf(b, "n%d [label=\"%s\" color=%s];\n", i, w.Words(w.Between(1, 4)), Pick(w, "red", "blue", "black"))
			}
			for range nodes * 3 / 2 {
				fmt.Fprintf(b, "n%d -> n%d [label=\"%s\"];\n", w.Rand.IntN(nodes), w.Rand.IntN(nodes), w.Word(1, 6))
			}
			fmt.Fprint(b, "}\n")
		}
	})
	return Command{Args: []string{"-T" + Pick(w, "svg", "plain", "xdot"), "-o", "out", "in.dot"}}, nil
}

func xsltproc(w *Work) (Command, error) {
	w.Text("in.xsl", `<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="html"/>
<xsl:key name="by" match="item" use="substring(@class,1,2)"/>
<xsl:template match="/"><html><xsl:apply-templates/><xsl:for-each select="//item[generate-id()=generate-id(key('by',substring(@class,1,2))[1])]"><xsl:sort select="@class"/><b><xsl:value-of select="count(key('by',substring(@class,1,2)))"/></b></xsl:for-each></html></xsl:template>
<xsl:template match="item"><p id="{@id}"><xsl:call-template name="rev"><xsl:with-param name="s" select="substring(.,1,%d)"/></xsl:call-template><xsl:apply-templates select="*"/></p></xsl:template>
<xsl:template match="entry"><xsl:variable name="v" select="normalize-space(translate(.,'aeiou','AEIOU'))"/><i><xsl:value-of select="concat($v,'-',position())"/></i><xsl:apply-templates select="*"/></xsl:template>
<xsl:template name="rev"><xsl:param name="s"/><xsl:if test="string-length($s)"><xsl:call-template name="rev"><xsl:with-param name="s" select="substring($s,2)"/></xsl:call-template><xsl:value-of select="substring($s,1,1)"/></xsl:if></xsl:template>
</xsl:stylesheet>`, w.Between(3, 20))
	args := []string{"-o", "out.html", "in.xsl"}
	for i := range w.Amount(2, 12) {
		name := fmt.Sprintf("in%d.xml", i)
		w.Write(name, func(b *bufio.Writer) { xmlTree(w, b, w.Between(80, 600), 2+w.Rand.IntN(4)) })
		args = append(args, name)
	}
	for i, fault := range w.Faults(40) { // not well-formed, between those that are
		name := fmt.Sprintf("bad%d.xml", i)
		w.Write(name, func(b *bufio.Writer) {
			xmlTree(fault, b, fault.Between(5, 60), 3)
			xmlFault(fault, b)
		})
		args = slices.Insert(args, 3+fault.Rand.IntN(len(args)-3), name)
	}
	return Command{Args: args, Exits: []int{6}}, nil
}

// postscript writes a document of text and shapes.
func postscript(w *Work, b *bufio.Writer, pages int) {
	fmt.Fprint(b, "%!PS-Adobe-3.0\n")
	for range pages {
		fmt.Fprintf(b, "/%s findfont %d scalefont setfont\n", Pick(w, "Helvetica", "Times-Roman", "Courier"), w.Between(8, 20))
		for line := range w.Between(5, 50) {
			fmt.Fprintf(b, "%d %d moveto (%s) show\n", 40+w.Rand.IntN(60), 750-14*line, w.Words(w.Between(2, 9)))
			if w.Rand.IntN(6) == 0 {
				fmt.Fprintf(b, "gsave %.2f setgray newpath %d %d %d 0 360 arc %s grestore\n", w.Rand.Float64(), w.Rand.IntN(500), w.Rand.IntN(700), w.Between(5, 90), Pick(w, "fill", "stroke"))
			}
			if w.Rand.IntN(15) == 0 {
				fmt.Fprintf(b, "/d%d 12 dict def d%d begin /x [ 1 2 (%s) ] def end\n", line, line, w.Word(3, 9))
			}
		}
		fmt.Fprint(b, "showpage\n")
	}
}

func ghostscript(w *Work) (Command, error) {
	w.Write("in.ps", func(b *bufio.Writer) { postscript(w, b, w.Amount(25, 150)) })
	return Command{Args: []string{"-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=" + Pick(w, "pdfwrite", "pdfwrite", "pgmraw"), "-r50", "-sOutputFile=out%d", "in.ps"}}, nil
}

// pdf writes a PDF of some pages to in.pdf.
func pdf(w *Work, pages int) {
	w.Write("in.ps", func(b *bufio.Writer) { postscript(w, b, pages) })
	w.Run("gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=pdfwrite", "-sOutputFile=in.pdf", "in.ps")
}

func pdftotext(w *Work) (Command, error) {
	pdf(w, w.Amount(15, 90))
	return Command{Args: append(Pick(w, []string{}, []string{"-layout"}, []string{"-bbox"}), "in.pdf", "out.txt")}, nil
}

func qpdf(w *Work) (Command, error) {
	pdf(w, w.Amount(10, 80))
	return Command{Args: append(Pick(w, []string{"--linearize"}, []string{"--qdf"}, []string{"--object-streams=generate"}), "in.pdf", "out.pdf"), Exits: []int{3}}, nil
}

func rsvg(w *Work) (Command, error) {
	w.Write("in.svg", func(b *bufio.Writer) {
		fmt.Fprint(b, `<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"><defs><linearGradient id="g"><stop offset="0" stop-color="red"/><stop offset="1" stop-color="blue"/></linearGradient></defs>`)
		for i := range w.Amount(300, 2500) {
			x, y := w.Rand.IntN(300), w.Rand.IntN(300)
			switch w.Rand.IntN(5) {
			case 0:
				fmt.Fprintf(b, `<rect id="r%d" x="%d" y="%d" width="%d" height="9" fill="url(#g)"/>`, i, x, y, w.Rand.IntN(60))
			case 1:
				fmt.Fprintf(b, `<path d="M%d %d C 20 20, 40 20, %d %d S 9 9 %d %d" stroke="#%06x" fill="none"/>`, x, y, y, x, x/2, y/3, w.Rand.IntN(1<<24))
			case 2:
				fmt.Fprintf(b, `<g transform="rotate(%d)" style="opacity:.%d"><circle cx="%d" cy="%d" r="%d"/></g>`, x, w.Rand.IntN(9), x, y, w.Rand.IntN(30))
			case 3:
				fmt.Fprintf(b, `<text x="%d" y="%d" font-size="%d">%s</text>`, x, y, w.Between(6, 20), w.Word(1, 5))
			default:
				fmt.Fprintf(b, `<polygon points="%d,%d %d,9 7,%d" class="%s"/>`, x, y, x, y, w.Word(2, 6))
			}
		}
		fmt.Fprint(b, "</svg>\n")
	})
	return Command{Args: []string{"-o", "out.png", "in.svg"}}, nil
}

func convert(w *Work) (Command, error) {
	args := []string{"-limit", "thread", "1"}
	for range w.Amount(15, 60) {
		args = append(args, "(", "-size", fmt.Sprintf("%dx%d", w.Between(10, 80), w.Between(10, 80)))
		args = append(args, Pick(w, "gradient:red-blue", "plasma:fractal", "xc:green", "pattern:checkerboard", "rose:"))
		for range 1 + w.Rand.IntN(4) {
			args = append(args, Pick(w,
				[]string{"-blur", "0x1"}, []string{"-rotate", fmt.Sprint(w.Rand.IntN(90))}, []string{"-resize", fmt.Sprintf("%dx", w.Between(8, 90))},
				[]string{"-negate"}, []string{"-colors", fmt.Sprint(w.Between(2, 60))}, []string{"-fill", "white", "-draw", fmt.Sprintf("circle 9,9 %d,4", w.Rand.IntN(30))},
				[]string{"-set", "comment", w.Words(3)}, []string{"-crop", "8x8", "+repage", "-append"}, []string{"-edge", "1"})...)
		}
		args = append(args, ")")
	}
	return Command{Args: append(args, Pick(w, "-append", "+append"), "out."+Pick(w, "png", "gif", "miff"))}, nil
}

func gnuplot(w *Work) (Command, error) {
	w.Write("data.txt", func(b *bufio.Writer) {
		for i := range w.Between(50, 800) {
			fmt.Fprintf(b, "%d %.3f %s\n", i, w.Rand.Float64()*100, w.Word(2, 7))
		}
	})
	w.Write("work.gp", func(b *bufio.Writer) {
		fmt.Fprintf(b, "set terminal %s\n", Pick(w, "svg", "postscript", "dumb"))
		for i := range w.Amount(40, 200) {
			fmt.Fprintf(b, "set output 'out%d'\nset title '%s'\nunset label\nset label %d '%s' at %d,%d\n", i%5, w.Words(3), 1+w.Rand.IntN(8), w.Word(2, 9), w.Rand.IntN(50), w.Rand.IntN(50))
			fmt.Fprintf(b, "f%d(x) = sin(x * %d) + %d\na%d = sprintf('%%d-%s', %d)\n", i%9, 1+w.Rand.IntN(9), w.Rand.IntN(5), i%7, w.Word(2, 6), i)
			fmt.Fprintln(b, Pick(w, fmt.Sprintf("plot [0:10] f%d(x), cos(x) title a%d", i%9, i%7), "plot 'data.txt' using 1:2 with lines, '' using 1:($2*2):3 with labels",
				"stats 'data.txt' using 2 nooutput", fmt.Sprintf("set samples 20; splot x*y, x**%d", w.Rand.IntN(3)), "fit m*x+q 'data.txt' using 1:2 via m, q; reset errors"))
		}
	})
	return Command{Args: []string{"work.gp"}, Exits: []int{1}}, nil
}

func troff(w *Work) (Command, error) {
	w.Write("in.tr", func(b *bufio.Writer) {
		fmt.Fprint(b, ".de HD\n.sp 1\n.ft B\n\\\\$1 \\\\$2\n.ft R\n.br\n..\n")
		for i := range w.Amount(300, 2500) {
			if fault := w.Fault(); fault != nil {
				word := fault.Word(2, 9)
				fmt.Fprintln(b, Pick(fault, "."+word, ".nr "+word+" 1+(", "\\*["+word+"] \\n["+word+"]", ".so /none/"+word, ".ft "+word, ".if '"+word, "\\h'"+word+"' \\s[x]", ".di\n.ex", ".tr "+word[:1], ".mso "+word, ".hpf "+word))
			}
			switch w.Rand.IntN(7) {
			case 0:
				fmt.Fprintf(b, ".HD %d \"%s\"\n", i, w.Words(3))
			case 1:
				fmt.Fprintf(b, ".ds s%d %s\n\\*(s%d \\fI%s\\fP \\(em %s\n", i%10, w.Words(3), i%10, w.Word(2, 9), w.Words(4))
			case 2:
				fmt.Fprintf(b, ".nr r%d +%d\n.if \\n(r%d>%d .sp 1\n", i%10, w.Rand.IntN(9), i%10, w.Rand.IntN(90))
			case 3:
				fmt.Fprintf(b, ".di d%d\n%s\n.br\n.di\n.d%d\n.rm d%d\n", i%10, w.Words(12), i%10, i%10)
			default:
				fmt.Fprintf(b, "%s.\n", w.Words(w.Between(5, 40)))
			}
		}
	})
	return Command{Args: []string{"-Tascii", "in.tr"}}, nil
}

func tidy(w *Work) (Command, error) {
	args := []string{"-q", "-o", "out.html", "--show-warnings", "no"}
	for i := range w.Amount(4, 25) {
		name := fmt.Sprintf("in%d.html", i)
		w.Write(name, func(b *bufio.Writer) {
			fmt.Fprintf(b, "<html><head><title>%s</title><body>\n", w.Words(3))
			for range w.Between(50, 400) {
				if fault := w.Fault(); fault != nil {
					word := fault.Word(2, 9)
					fmt.Fprint(b, Pick(fault, "<"+word+">", "&"+word+";", "</"+word+">", "<p "+word+"=\"", "<!-- "+word+" --", "<a href='"+word+"' href='"+word+"'>", "<script>"+word, "<form><form>", "<![CDATA["+word+"]]>", "<?"+word+">", "<img>", "&#x110000;", "<td></table>"))
				}
				tag := Pick(w, "p", "div", "b", "i", "table", "td", "ul", "li", "a href="+w.Word(2, 5), "span class="+w.Word(2, 6), "font color=red")
				fmt.Fprintf(b, "<%s>%s", tag, w.Words(w.Between(1, 9)))
				if w.Rand.IntN(4) > 0 {
					fmt.Fprintf(b, "</%s>\n", strings.Fields(tag)[0])
				}
			}
		})
		args = append(args, name)
	}
	return Command{Args: args, Exits: []int{1, 2}}, nil
}

func hunspell(w *Work) (Command, error) {
	w.Write("in.txt", func(b *bufio.Writer) {
		common := strings.Fields("the house of people working quickly running through beautiful gardens with children singing songs about winter receive separate")
		for range w.Amount(10, 50) {
			for range 12 {
				fmt.Fprint(b, common[w.Rand.IntN(len(common))], " ")
			}
			fmt.Fprintln(b, w.Word(4, 9))
		}
	})
	return Command{Args: []string{"-d", "en_US", "-a", "in.txt"}, Stdin: "in.txt"}, nil
}

func doxygen(w *Work) (Command, error) {
	w.Write("in.c", func(b *bufio.Writer) {
		for i := range w.Amount(6, 40) {
			fmt.Fprintf(b, "/** %s\n * @param a %s\n * @return %s, see f%d()\n */\nint f%d(int a, const char *%s)\n{ return a + f%d(a, 0); }\n",
				w.Words(12), w.Words(4), w.Words(3), w.Rand.IntN(i+1), i, w.Word(2, 7), w.Rand.IntN(i+1))
			fmt.Fprintf(b, "/** %s */\nstruct s%d { int x; /**< %s */ struct s%d *next; };\n", w.Words(6), i, w.Words(3), i)
		}
	})
	w.Text("Doxyfile", "PROJECT_NAME=%s\nINPUT=in.c\nGENERATE_LATEX=NO\nGENERATE_HTML=NO\nGENERATE_XML=YES\nQUIET=YES\nWARNINGS=NO\nEXTRACT_ALL=YES\nNUM_PROC_THREADS=1\n", w.Word(3, 9))
	return Command{Args: []string{"Doxyfile"}}, nil
}
