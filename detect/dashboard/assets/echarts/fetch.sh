#!/bin/sh
# Gets the chart library of the page from npm: the "common" build, which has lines,
# marks, zoom and tooltips. Run by go generate; the result is the same each time.
set -eu
cd "$(dirname "$0")"
echarts=6.1.0 zrender=6.1.0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for package in echarts@$echarts zrender@$zrender; do
	(cd "$dir" && tar -xzf "$(npm pack --silent "$package")" && mv package "${package%@*}")
done
gzip -9nc "$dir/echarts/dist/echarts.common.min.js" >echarts.js.gz
{
	cat "$dir/echarts/NOTICE"
	for licence in echarts/LICENSE echarts/licenses/LICENSE-d3 zrender/LICENSE; do
		printf '\n\n---- %s ----\n\n' "$licence"
		cat "$dir/$licence"
	done
} >LICENSE.txt
gzip -dc echarts.js.gz | sha256sum
