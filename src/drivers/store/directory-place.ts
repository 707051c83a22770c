import { isAbsolute } from 'node:path';
import { StoreError, type StoreDriver } from './store.ts';

/** Where stores are that have a directory for themselves. */
export function directoryPlace(name: string): Pick<StoreDriver, 'form' | 'dirOf'> {
  return {
    form: '/directory',
    dirOf(root) {
      if (isAbsolute(root)) return root;
      throw new StoreError('bad_place', `expected ${name}:/directory, an absolute one`);
    },
  };
}
