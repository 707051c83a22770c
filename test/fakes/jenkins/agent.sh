#!/bin/sh
# Stands in for `java -jar agent.jar`: connects as a node, runs what it is given, and comes back
# when its Jenkins was away, as the real agent does.
while [ $# -gt 0 ]; do
  case $1 in
    -url) url=$2; shift ;;
    -name) name=$2; shift ;;
    -secret) secret=$(cat "${2#@}"); shift ;;
    -workDir) work=$2; shift ;;
    -jar) [ -s "$2" ] || { echo "Error: Unable to access jarfile $2"; exit 1; }; shift ;;
  esac
  shift
done
cd "$work" || exit 1
ask() {
  curl -s -o answer -w '%{http_code}' -X "$1" -H "X-Secret: $secret" "$url/_agent/$name/$2"
}
echo "INFO: Connecting to $url as $name"
while :; do
  case $(ask POST connect) in
    200) echo 'INFO: Connected' ;;
    *) echo 'INFO: Not connected, trying again'; sleep 1; continue ;;
  esac
  while :; do
    case $(ask GET build) in
      200) read -r build seconds < answer
        echo "build $build"
        sleep "$seconds"
        while [ "$(ask POST "done/$build")" = 000 ]; do sleep 0.2; done ;;
      204) ;;
      *) break ;;
    esac
  done
done
