// Package ddl writes the tables that engines need to read a lake, from the schema
// that the lake writes and the template that names its objects. It only writes
// text: nothing is connected to.
//
// # Tables and views
//
// Each kind is a table <prefix><kind>_files, the objects as they are, and a view
// <prefix><kind>, which is what people ask: where a key was promoted to a column,
// the view falls back to the attribute that it is in older objects. DuckDB has the
// view alone, Glue the table alone. When keys are promoted, only the definitions
// are made anew; no object is touched.
//
// # Partitions
//
// A variable of the template becomes a column of text: {date} is dt, as is
// {year}…{month}…{day} with nothing but punctuation between; {hour} is hour,
// {service} is service, and a folder key={variable} goes by its key. Values stand
// as the path has them. Athena, Glue and, where folders are not key=value, Trino
// compute the partitions that a query needs; Spark and Trino else find folders
// when told to, and DuckDB lists them each time.
package ddl
