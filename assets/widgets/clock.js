// One clock for many videos: each player follows it, none follows another.
// A player is {video, ready}; times are seconds, and a frame is 1 / fps.

const SEEK_LIMIT_MS = 600;

const makeClock = (players, onChange) => {
  const clock = { playing: false, waiting: false, time: 0, speed: 1, duration: 0, fps: 16 };
  let since = 0;
  let turn = 0;

  const frameSeconds = () => 1 / clock.fps;
  const ready = () => players().filter((player) => player.ready);
  // A hair past the frame's beginning, or rounding would show the frame before it.
  const aim = (video, time) => Math.max(0, Math.min(time + 0.001, video.duration - frameSeconds() / 2));

  const now = () => (clock.playing && !clock.waiting ? clock.time + ((performance.now() - since) / 1000) * clock.speed : clock.time);

  const seek = (video, time) =>
    new Promise((done) => {
      const wanted = aim(video, time);
      if (!video.seeking && Math.abs(video.currentTime - wanted) < 0.0005) return done();
      video.addEventListener("seeked", done, { once: true });
      setTimeout(done, SEEK_LIMIT_MS);
      video.currentTime = wanted;
    });

  const start = (video) => {
    video.playbackRate = clock.speed;
    video.play().catch(() => {});
  };

  const follow = (player, time) => {
    const { video } = player;
    // A video shorter than the longest one rests on its last frame until the loop begins anew.
    if (video.seeking || time >= video.duration - frameSeconds() / 2) return;
    const drift = video.currentTime - time;
    if (video.paused || Math.abs(drift) > 4 * frameSeconds()) {
      video.currentTime = aim(video, time);
      return start(video);
    }
    // Small drifts are made up by running a little faster or slower: a seek would be seen as a jolt.
    const correcting = video.playbackRate !== clock.speed;
    const tolerated = (correcting ? 0.12 : 0.4) * frameSeconds();
    const pull = Math.abs(drift) <= tolerated ? 1 : 1 - Math.sign(drift) * Math.min(0.3, 0.08 + Math.abs(drift) * 2);
    if (video.playbackRate !== clock.speed * pull) video.playbackRate = clock.speed * pull;
  };

  const tick = () => {
    if (!clock.playing || clock.waiting) return;
    const time = now();
    if (clock.duration && time >= clock.duration) return startTogether(0);
    for (const player of ready()) follow(player, time);
    onChange(clock, time);
    requestAnimationFrame(tick);
  };

  const startTogether = async (time) => {
    const mine = ++turn;
    clock.time = time;
    clock.waiting = true;
    for (const { video } of ready()) video.pause();
    onChange(clock, time);
    await Promise.all(ready().map(({ video }) => seek(video, time)));
    if (mine !== turn || !clock.playing) return;
    clock.waiting = false;
    since = performance.now();
    for (const { video } of ready()) start(video);
    requestAnimationFrame(tick);
  };

  const showFrameAt = (time) => {
    turn += 1;
    const last = Math.max(0, clock.duration - frameSeconds());
    clock.time = Math.min(last, Math.max(0, Math.round(time * clock.fps) * frameSeconds()));
    for (const { video } of ready()) {
      video.pause();
      video.currentTime = aim(video, clock.time);
    }
    onChange(clock, clock.time);
  };

  return Object.assign(clock, {
    now,
    play() {
      if (clock.playing) return;
      clock.playing = true;
      startTogether(clock.time >= clock.duration - 1.5 * frameSeconds() ? 0 : clock.time);
    },
    pause() {
      const time = now();
      clock.playing = clock.waiting = false;
      showFrameAt(time);
    },
    scrub(time) {
      if (clock.playing) clock.pause();
      showFrameAt(time);
    },
    stepFrames(count) {
      clock.scrub(now() + count * frameSeconds());
    },
    setSpeed(speed) {
      clock.time = now();
      since = performance.now();
      clock.speed = speed;
      for (const { video } of ready()) video.playbackRate = speed;
      onChange(clock, clock.time);
    },
    // A video that has just come joins where the others are; they do not notice.
    join(player) {
      clock.duration = Math.max(clock.duration, player.video.duration || 0);
      if (!clock.playing) player.video.currentTime = aim(player.video, clock.time);
      onChange(clock, now());
    },
  });
};
