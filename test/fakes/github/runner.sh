#!/bin/sh
# Stands in for GitHub's runner: reads its just-in-time configuration, takes one job, deregisters.
# Exit codes as the runner has them: 0 ok, 1 terminated, 5 session conflict, 7 version deprecated.
part() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p"; }
config=$(printf %s "$ACTIONS_RUNNER_INPUT_JITCONFIG" | base64 -d) || exit 1
about=$(printf %s "$config" | part '\.runner' | base64 -d)
token=$(printf %s "$config" | part '\.credentials' | base64 -d | part token)
url=$(printf %s "$about" | part serverUrl)
ask() {
  curl -s -o answer -w '%{http_code}' -X "$1" -H "Authorization: Bearer $token" "$url/$2"
}
case $(ask POST connect) in
  200) ;;
  409) echo 'A session for this runner already exists.'; exit 5 ;;
  426) echo 'This version of the runner is deprecated.'
    [ "$ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE" = 1 ] && exit 7
    exit 0 ;;
  *) echo 'The runner registration has been deleted from the server.'; exit 1 ;;
esac
echo 'Listening for Jobs'
while :; do
  case $(ask GET job) in
    200) break ;;
    204) ;;
    *) echo 'The runner was removed.'; exit 1 ;;
  esac
done
read -r job seconds ending < answer
echo "Running job: $job"
sleep "$seconds"
[ "$ending" = crash ] && exit 1
ask POST "done/$job" > status
echo "Job $job completed with result: $ending"
exit 0
