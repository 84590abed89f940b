//! Something that is made when somebody asks for it, and given to all who ask soon after: however many ask, the work is
//! done so often at most.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// See the module. `T` is cheap to clone.
#[derive(Debug)]
pub struct Shelf<T> {
    lasts: Duration,
    made: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Shelf<T> {
    /// An empty one; what is made is good for so long.
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, made: Mutex::new(None) }
    }

    /// What is on it, made by `make` where nothing fresh is. One makes at a time, and the others wait for it.
    ///
    /// # Errors
    /// Those of `make`, of which none is kept.
    pub async fn get<E>(&self, make: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut made = self.made.lock().await;
        if let Some((at, thing)) = &*made
            && at.elapsed() < self.lasts
        {
            return Ok(thing.clone());
        }
        let thing = make.await?;
        *made = Some((Instant::now(), thing.clone()));
        Ok(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_fresh_is_given_to_all_and_then_made_anew() {
        let lasts = Duration::from_millis(500);
        let shelf = Shelf::new(lasts);
        let make = |number: u32| async move { Ok::<_, ()>(number) };
        assert_eq!(shelf.get(async { Err("no") }).await, Err("no"), "a failure is not kept");
        assert_eq!(shelf.get(make(1)).await, Ok(1));
        tokio::time::advance(lasts - Duration::from_millis(1)).await;
        assert_eq!(shelf.get(make(2)).await, Ok(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(shelf.get(make(3)).await, Ok(3));
    }
}
