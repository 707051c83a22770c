import { Link } from '@tanstack/react-router';
import { useQuery } from '@tanstack/react-query';
import type { ImageView } from '../../../src/protocol/api/history-resources.ts';
import { images as imagesQuery } from '../api/queries.ts';
import { bytes, count, percent } from '../ui/amounts.ts';
import { Answer, Badge, Copyable, Empty, Heading, Meter } from '../ui/parts.tsx';

const NAMED = 12;

/** Every image: how large it is, who has it, who is bringing it. */
export function Images() {
  const images = useQuery(imagesQuery);
  return (
    <>
      <Heading
        title="Images"
        lead="What workers are made from. Hosts bring the images of their pools by themselves."
      />
      <Answer of={images} what="the images">
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No host has an image, and no pool asks for one">
              <p>Import one on a host, or push it to a place where all hosts get it from:</p>
              <Copyable
                label="Commands that bring an image"
                text={
                  'pomona image import macos-26 disk.img\npomona image push macos-26 s3://images/macs'
                }
              />
              <p>
                Then name it in a pool with <code>image: macos-26</code>.
              </p>
            </Empty>
          ) : (
            <div className="cards">
              {items.map((image) => (
                <Image key={image.name} image={image} />
              ))}
            </div>
          )
        }
      </Answer>
    </>
  );
}

function Image({ image }: { readonly image: ImageView }) {
  const { name, pools, versions, fetching, missing } = image;
  return (
    <section className="card" aria-label={`Image ${name}`}>
      <h2>{name}</h2>
      <p>
        {pools.length === 0 ? (
          <span className="soft">No pool is made from it.</span>
        ) : (
          <>
            For{' '}
            {pools.map((pool, index) => (
              <span key={pool}>
                {index > 0 && ', '}
                <Link to="/pools/$name" params={{ name: pool }}>
                  {pool}
                </Link>
              </span>
            ))}
          </>
        )}
      </p>
      {versions.length > 1 && (
        <p className="note">Hosts have {versions.length} different contents under this name.</p>
      )}
      {versions.map(({ digest, bytes: size, hosts }) => (
        <div key={digest}>
          <span className="mono" title={digest}>
            {digest.replace('sha256:', '').slice(0, 12)}
          </span>{' '}
          {size !== undefined && bytes(size)} on {count(hosts.length, 'host')}
          <Hosts names={hosts} />
        </div>
      ))}
      {fetching.map(({ host, detail, share }) => (
        <div key={host}>
          <Link to="/hosts/$name" params={{ name: host }}>
            {host}
          </Link>
          : {detail}
          {share !== undefined && <Meter share={share} label={`${host} has ${percent(share)}`} />}
        </div>
      ))}
      {missing.length > 0 && (
        <div>
          <Badge tone="wait">missing</Badge> on {count(missing.length, 'host')}
          <Hosts names={missing} />
        </div>
      )}
    </section>
  );
}

function Hosts({ names }: { readonly names: readonly string[] }) {
  return (
    <details>
      <summary>Which</summary>
      {names.slice(0, NAMED).map((name, index) => (
        <span key={name}>
          {index > 0 && ', '}
          <Link to="/hosts/$name" params={{ name }}>
            {name}
          </Link>
        </span>
      ))}
      {names.length > NAMED && <Link to="/">{` and ${names.length - NAMED} more`}</Link>}
    </details>
  );
}
