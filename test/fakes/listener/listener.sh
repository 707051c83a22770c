#!/bin/sh
# Stands in for the listener of some CI system: asks for a task with its token, says when one
# begins and ends, and at SIGTERM finishes what it has and ends.
token=${LISTENER_TOKEN:-$(sed -n 's/^token: //p' worker.yml 2>/dev/null)}
[ -n "${POMONA_MARK:-}${POMONA_FILE_CONTENT_0:-}" ] && echo 'the supervisor told too much'
ending=''
trap 'ending=1' TERM
echo "Worker registered"
while [ -z "$ending" ]; do
  status=$(curl -s -o task -w '%{http_code}' -H "Authorization: Bearer $token" "$1/task")
  case $status in
    200) ;;
    204) continue ;;
    *) echo "The server said $status"; exit 3 ;;
  esac
  read -r id seconds < task
  [ "$seconds" = die ] && exit 9
  echo "Started task $id"
  : > busy
  left=$seconds
  while [ "$left" -gt 0 ]; do sleep 0.5; left=$((left - 1)); done
  curl -s -X POST -H "Authorization: Bearer $token" "$1/done/$id" > /dev/null
  rm -f busy
  echo "Finished task $id"
done
echo "Worker ended"
