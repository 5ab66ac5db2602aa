package held

// Piece is a run of the rows of one group: a partition, a table.
type Piece struct {
	Group    int
	From, To int
}

// Cut deals the rows of all groups out, in their order, to loads of at most limit
// bytes together, or of one row.
func Cut(groups [][]Row, limit int64) (loads [][]Piece) {
	var now []Piece
	size := int64(0)
	for g, rows := range groups {
		from := 0
		for i := range rows {
			n := int64(rows[i].Bytes)
			if size > 0 && size+n > limit {
				if from < i {
					now = append(now, Piece{g, from, i})
				}
				loads, now, size, from = append(loads, now), nil, 0, i
			}
			size += n
		}
		now = append(now, Piece{g, from, len(rows)})
	}
	return append(loads, now)
}

// Rows are those of a load.
func Rows(groups [][]Row, load []Piece) (all []Row) {
	if len(load) == 1 {
		return groups[load[0].Group][load[0].From:load[0].To]
	}
	for _, p := range load {
		all = append(all, groups[p.Group][p.From:p.To]...)
	}
	return all
}
