/**
 * Looks after one listener in its worker, so that its limits hold also while no controller is
 * there. It prints a line with its mark when the listener begins or ends a task; the mark is not in
 * the listener's environment. A listener that dies is started once more; the second time its
 * worker is given up. Its arguments are the listener's command.
 *
 * Exit codes: 0 it served; 70 it died twice; 75 it was ended before it had a task.
 */
export const SUPERVISOR = `
set -u
mark=$POMONA_MARK tasks=$POMONA_TASKS soft=$POMONA_SOFT_S hard=$POMONA_HARD_S
stop_signal=$POMONA_STOP_SIGNAL drain=$POMONA_DRAIN_S busy=$POMONA_BUSY idle=$POMONA_IDLE
check=$POMONA_CHECK files=$POMONA_FILES
unset POMONA_MARK POMONA_TASKS POMONA_SOFT_S POMONA_HARD_S POMONA_STOP_SIGNAL POMONA_DRAIN_S
unset POMONA_BUSY POMONA_IDLE POMONA_CHECK POMONA_FILES
state=$(mktemp -d)
started=$(date +%s)
stopping='' strikes=0 by_line=''
# One kind of awk waits for a whole block of input unless it is told otherwise.
case $(awk -W version 2>/dev/null < /dev/null) in mawk*) by_line='-W interactive' ;; esac
echo 'idle 0' > "$state/now"

write_files() {
  number=0
  while [ "$number" -lt "$files" ]; do
    eval "path=\\$POMONA_FILE_PATH_$number content=\\$POMONA_FILE_CONTENT_$number"
    case $path in */*) mkdir -p "\${path%/*}" ;; esac
    (umask 077; printf %s "$content" > "$path")
    number=$((number + 1))
  done
}
remove_files() {
  number=0
  while [ "$number" -lt "$files" ]; do
    eval "path=\\$POMONA_FILE_PATH_$number keep=\\$POMONA_FILE_KEEP_$number"
    [ "$keep" = 1 ] || rm -f "$path"
    number=$((number + 1))
  done
}
launch() {
  write_files
  launched=$(date +%s)
  rm -f "$state/out"
  mkfifo "$state/out"
  read -r _ count < "$state/now"
  # Before it can have a task: said after that, it would be taken for the end of it.
  echo "$mark idle $count"
  # shellcheck disable=SC2086 -- two words, or none
  awk $by_line -v busy="$busy" -v idle="$idle" -v mark="$mark" -v n="$count" -v state="$state" \
    -v tasks="$tasks" -v stop="kill -$stop_signal" '
    { print; fflush() }
    function tell(what) {
      print what, n > (state "/now")
      close(state "/now")
      print mark, what, n
      fflush()
    }
    # At once: in the next moment it could have the next task.
    function enough(pid) {
      if (n < tasks || (getline pid < (state "/pid")) <= 0) return
      printf "" > (state "/asked")
      close(state "/asked")
      system(stop " " pid)
    }
    busy != "" && !working && $0 ~ busy { working = 1; n++; tell("busy"); next }
    idle != "" && working && $0 ~ idle { working = 0; tell("idle"); enough() }
  ' < "$state/out" &
  "$@" > "$state/out" 2>&1 &
  listener=$!
  echo "$listener" > "$state/pid"
}
stop() {
  [ -n "$stopping" ] && return
  stopping=$(date +%s)
  echo "pomona: the listener is asked to end: $1"
  # A second signal might be taken for less patience.
  [ -e "$state/asked" ] || kill "-$stop_signal" "$listener" 2>/dev/null
}
trap 'stop "its worker is wanted back"' TERM INT

launch "$@"
while :; do
  sleep 1
  time=$(date +%s)
  read -r now count < "$state/now"
  [ "$files" -gt 0 ] && [ $((time - launched)) -eq 30 ] && remove_files
  if [ -n "$check" ]; then
    if sh -c "$check" >/dev/null 2>&1; then found=busy; else found=idle; fi
    if [ "$found" != "$now" ]; then
      [ "$found" = busy ] && count=$((count + 1))
      now=$found
      echo "$now $count" > "$state/now"
      echo "$mark $now $count"
    fi
  fi
  [ $((time % 60)) -eq 0 ] && echo "$mark $now $count"
  if ! kill -0 "$listener" 2>/dev/null; then
    wait "$listener"
    code=$?
    [ -e "$state/asked" ] && stop 'it had its tasks'
    [ "$count" -gt 0 ] && { [ -n "$stopping" ] || [ "$code" = 0 ]; } && exit 0
    [ -n "$stopping" ] && exit 75
    strikes=$((strikes + 1))
    echo "pomona: the listener ended by itself with $code (strike $strikes of 2)"
    [ "$strikes" -ge 2 ] && exit 70
    launch "$@"
    continue
  fi
  if [ -n "$stopping" ]; then
    [ $((time - stopping)) -ge "$drain" ] && kill -KILL "$listener" 2>/dev/null
    continue
  fi
  age=$((time - started))
  [ "$age" -ge "$hard" ] && stop "its life is over after $age s"
  if [ "$now" = idle ]; then
    [ "$count" -ge "$tasks" ] && stop "it had $count tasks"
    [ "$age" -ge "$soft" ] && stop "it lived for $age s"
  fi
done
`.trim();
