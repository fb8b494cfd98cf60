package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// query is what the parameters of a request mean.
func query(v url.Values) Query {
	return Query{Text: v.Get("q"), Level: v.Get("level"), Log: v.Get("log"), Program: v.Get("program"), Decision: Decision(v.Get("decision"))}
}

// meansRun reports whether a query can mean findings of a run.
func (q Query) meansRun(r *Run) bool {
	return (q.Log == "" || r.Log == q.Log) && (q.Program == "" || r.Program == q.Program)
}

// window is the part of the history that the parameters of a request mean.
func window(v url.Values) (Window, error) {
	w := Window{Log: v.Get("log"), ID: v.Get("id")}
	var errs [4]error
	w.Points, errs[0] = number(v, "points", maxList)
	w.Limit, errs[1] = number(v, "limit", maxList)
	w.Since, errs[2] = moment(v, "since")
	w.Until, errs[3] = moment(v, "until")
	return w, errors.Join(errs[:]...)
}

// number is a parameter from 1 to a most, which it is where it is missing.
func number(v url.Values, name string, most int) (int, error) {
	text := v.Get(name)
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s: want a number from 1 to %d", name, most)
	}
	return n, nil
}

// moment is a parameter that is a time; zero where it is missing.
func moment(v url.Values, name string) (t time.Time, err error) {
	if text := v.Get(name); text != "" {
		if t, err = time.Parse(time.RFC3339, text); err != nil {
			err = fmt.Errorf("%s: want a time such as 2026-01-31T12:00:00Z", name)
		}
	}
	return t, err
}

// history answers with what was seen and told over time.
func (s *server) history(w http.ResponseWriter, r *http.Request) {
	win, err := window(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	h, err := s.Store.History(r.Context(), win)
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, h)
}
