import { buildbotDriver } from './buildbot/buildbot.ts';
import { githubDriver } from './github/github.ts';
import { jenkinsDriver } from './jenkins/jenkins.ts';
import { listenerDriver } from './listener/listener.ts';
import { nativeDriver } from './native/native.ts';

/** The drivers of the family `ci`, by the kind that an integration's configuration names. */
export const CI_DRIVERS = {
  buildbot: buildbotDriver,
  github: githubDriver,
  jenkins: jenkinsDriver,
  listener: listenerDriver,
  native: nativeDriver,
} as const;
